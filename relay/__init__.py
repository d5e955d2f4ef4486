"""The relay: verifies deliveries, stores their events and answers. It never talks to Conductor."""

from relay.app import create_app

__all__ = ["create_app"]
