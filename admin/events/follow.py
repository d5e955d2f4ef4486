"""New events, and what becomes of them, as they arrive; and deliveries that leave no event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from admin.bridge import Bridge
from admin.events.failure_reasons import reason_of
from admin.events.search import Search
from store.delivery_records import WithoutEvent
from store.event_filter import EventFilter
from store.records import Event, Target

_PAGE = 200
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

    def __init__(self, bridge: Bridge, query: EventFilter):
        """Starts with the next event. One is reported once it has `query.status`, fails if only `unresolved` ones are
        wanted, or fails for the reason that a `Search` asks for; `resolved` can't be followed.
        """
        self._bridge = bridge
        self._failure = query.failure if isinstance(query, Search) else None
        self._wanted = "failed" if query.unresolved or self._failure is not None else query.status
        anyhow: dict[str, Any] = {"failure": None} if isinstance(query, Search) else {}
        has_conditions = isinstance(query, Search) and bool(query.where)
        self._is_choosy = self._wanted is not None or query.searches or has_conditions
        self._query = replace(query, status=None, unresolved=False, before_seq=None, limit=_PAGE, **anyhow)
        self._seq = self._newest()
        self._open: dict[str, str] = {}
        """event id → the status that was reported last."""
        self._others: set[str] | None = None
        """The keys of the newest deliveries without an event; None before the first look."""
        self.look_at_others()

    def look(self) -> list[News]:
        """What has happened since the last call, in order of arrival."""
        found = [(event, True) for event in self._arrived()]
        if self._open:
            known = self._bridge.store.queries.listed(list(self._open)).values()
            changed = [event for event in known if event.status != self._open.get(event.id)]
            found += [(self._bridge.in_list(event), False) for event in changed]
        for event, _ in found:
            self._open.pop(event.id, None)
            if event.status == "pending":
                self._open[event.id] = event.status
        while len(self._open) > _WATCHED:
            del self._open[next(iter(self._open))]
        found = [(event, new) for event, new in found if self._wanted in (None, event.status)]
        found.sort(key=lambda item: item[0].seq)
        targets = self._bridge.targets_by_event([event for event, _ in found])
        return [News(event, tuple(targets[event.id]), new) for event, new in found if self._is_meant(targets[event.id])]

    def _is_meant(self, targets: Iterable[Target]) -> bool:
        """Whether one of the targets failed for the reason that is wanted, if one is."""
        if self._failure is None:
            return True
        return any(target.state == "failed" and reason_of(target.error) == self._failure for target in targets)

    def look_at_others(self) -> list[WithoutEvent]:
        """Deliveries since the last call that left no event, in order of arrival; none if only some events are wanted.

        Of more than `_PAGE` the newest.
        """
        if self._is_choosy:
            return []
        found = self._bridge.store.without_events.newest(self._query.webhook, _PAGE)
        before, self._others = self._others, {one.key for one in found}
        return [] if before is None else [one for one in found if one.key not in before]

    def _newest(self) -> int:
        newest = self._bridge.events(EventFilter(limit=1))
        return newest[0].seq if newest else 0

    def _arrived(self) -> list[Event]:
        newest = self._newest()  # those that aren't meant needn't be looked at again
        arrived: list[Event] = []
        for event in self._newest_first():
            if event.seq <= self._seq:
                break
            arrived.append(event)
        self._seq = max([newest, *(event.seq for event in arrived[:1])])
        return arrived[::-1]

    def _newest_first(self) -> Iterator[Event]:
        before: int | None = None
        while page := self._bridge.events(replace(self._query, before_seq=before, after_seq=self._seq)):
            yield from page
            before = page[-1].seq
