"""Failed events that still need somebody."""

from __future__ import annotations

from admin.bridge import Bridge
from store.event_filter import EventFilter
from store.records import Event

FAILED_READ = 200
"""Events that are read, at most: the overview must be quick when very many have failed."""


def failed_since(bridge: Bridge, since: int) -> list[Event]:
    """The newest failed events of that time or later that are unresolved, newest first; a page of them at most."""
    newest = bridge.events(EventFilter(unresolved=True, limit=FAILED_READ))
    return [event for event in newest if event.received_at > since]
