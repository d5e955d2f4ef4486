"""Failed events that still need somebody."""

from __future__ import annotations

from admin.bridge import Bridge
from admin.events.families import families
from store.records import Event, EventFilter

_PAGE = 200
_EXAMINED = 2000
"""Failed events that are looked at, at most: the overview must be quick when very many have failed."""


def failed_since(bridge: Bridge, since: int) -> list[Event]:
    """The newest failed events of that time or later that no replay resolved, newest first; a page of them at most."""
    found: list[Event] = []
    before: int | None = None
    for _ in range(_EXAMINED // _PAGE):
        page = bridge.events(EventFilter(status="failed", before_seq=before, limit=_PAGE))
        recent = [event for event in page if event.received_at > since]
        relatives = families(bridge.store.queries, [event.id for event in recent])
        found += [event for event in recent if relatives[event.id].resolves(event) is None]
        if len(found) >= _PAGE or len(recent) < _PAGE:
            break
        before = page[-1].seq
    return found[:_PAGE]
