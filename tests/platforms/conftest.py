"""What the relay's own tests have: a clock that stands still, and relays to call."""

from tests.relay.conftest import clock, make_relay

__all__ = ["clock", "make_relay"]
