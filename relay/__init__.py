"""The relay: verifies deliveries, stores their events and answers. It never talks to Conductor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relay.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    """``relay:create_app()`` for gunicorn. Imported lazily: ``relay.gunicorn_settings``, which
    imports this package, must patch the standard library before anything else is imported."""
    if name == "create_app":
        from relay.app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
