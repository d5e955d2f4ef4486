"""New events, and what becomes of them, as they arrive; and deliveries that leave no event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from admin.bridge import Bridge
from admin.search import Search
from store.delivery_records import WithoutEvent
from store.records import Event, Target
from store.sql.event_search import EventFilter

_PAGE = 200
_OVERTAKEN = 1000
"""Numbers before the newest one that are looked at again: an event that becomes visible after more
than so many later ones isn't shown."""
_WATCHED = 5000
"""Pending events that are watched, at most; the oldest are dropped first."""


@dataclass(frozen=True)
class News:
    """An event that is new, or whose status has changed."""

    event: Event
    targets: tuple[Target, ...]
    is_new: bool


class Follower:
    """Finds new events and changed ones, and remembers what it has reported."""

    def __init__(self, bridge: Bridge, query: Search):
        """Starts with the next event. `query` says nothing of a status: each is reported."""
        self._bridge = bridge
        self._is_choosy = query.searches or bool(query.where)
        self._query = replace(query, limit=_PAGE)
        newest = bridge.events(EventFilter(limit=1))
        self._after = max(0, newest[0].seq - _OVERTAKEN) if newest else 0
        """No event with this number or a lower one is looked for."""
        self._seen: set[int] = set()
        """The numbers after it that were seen."""
        self._remember(bridge.store.queries.arrivals(self._after))
        self._open: dict[str, str] = {}
        """event id → the status that was reported last."""
        self._others: set[str] | None = None
        """The keys of the newest deliveries without an event; None before the first poll."""
        self.look_at_others()

    def look(self) -> list[News]:
        """What has happened since the last call, in order of arrival."""
        arrivals = self._bridge.store.queries.arrivals(self._after)
        found = [(event, True) for event in self._new(arrivals)]
        if self._open:
            known = self._bridge.store.queries.listed(list(self._open)).values()
            changed = [event for event in known if event.status != self._open.get(event.id)]
            found += [(self._bridge.in_list(event), False) for event in changed]
        found.sort(key=lambda item: item[0].seq)
        targets = self._bridge.targets_by_event([event for event, _ in found])
        # Nothing more is read, so nothing is remembered that won't be reported.
        self._remember(arrivals)
        for event, _ in found:
            self._open.pop(event.id, None)
            if event.status == "pending":
                self._open[event.id] = event.status
        while len(self._open) > _WATCHED:
            del self._open[next(iter(self._open))]
        return [News(event, tuple(targets[event.id]), new) for event, new in found]

    def look_at_others(self) -> list[WithoutEvent]:
        """Deliveries since the last call that left no event, in order of arrival; none if only some
        events are wanted.

        Of more than `_PAGE` the newest.
        """
        if self._is_choosy:
            return []
        found = self._bridge.store.without_events.newest(self._query.webhook, _PAGE)
        before, self._others = self._others, {one.key for one in found}
        return [] if before is None else [one for one in found if one.key not in before]

    def _new(self, arrivals: list[int]) -> list[Event]:
        """The events that are meant, of those that weren't there at the last poll."""
        new = set(arrivals) - self._seen
        if not new:
            return []
        return [event for event in self._between(min(new), max(new)) if event.seq in new]

    def _between(self, first: int, last: int) -> Iterator[Event]:
        before = last + 1
        while page := self._bridge.events(
            replace(self._query, before_seq=before, after_seq=first - 1)
        ):
            yield from page
            before = page[-1].seq

    def _remember(self, arrivals: list[int]) -> None:
        self._after = max(self._after, arrivals[-1] - _OVERTAKEN) if arrivals else self._after
        self._seen = {seq for seq in arrivals if seq > self._after}


SHOWN = 100
"""Deliveries that a list shows."""


class LiveDelivery(NamedTuple):
    """A delivery as a list shows it: an event, or one that left none."""

    at: int
    event: Event | None = None
    targets: Sequence[Target] = ()
    other: WithoutEvent | None = None


def newest(bridge: Bridge, webhook: str | None = None, limit: int = SHOWN) -> list[LiveDelivery]:
    """The newest deliveries, newest first."""
    events = bridge.events(EventFilter(webhook, limit=limit))
    targets = bridge.targets_by_event(events)
    found = [LiveDelivery(event.received_at, event, targets[event.id]) for event in events]
    found += [
        LiveDelivery(one.at, other=one)
        for one in bridge.store.without_events.newest(webhook, limit)[::-1]
    ]
    return sorted(found, key=lambda one: one.at, reverse=True)[:limit]
