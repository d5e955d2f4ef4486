"""The held events, found for a task at a cost that doesn't grow with their number.

Each webhook's events are indexed by their values at the sets of paths that tasks have asked by.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from criteria.equality import Key
from criteria.matches import Criteria
from store.records import Event
from worker.leader.task_index import Document

_MANY_VALUES = 64
"""Combinations of values above which an event is compared with each task instead of being looked up."""
_GROUPS = 32
"""Sets of paths by which a webhook's held events are indexed at a time."""


class HeldEvent:
    """What matching needs to know about a held event."""

    __slots__ = ("hold_until", "id", "newest", "only", "received_at", "seq", "webhook")

    def __init__(self, event: Event):
        self.id = event.id
        self.seq = event.seq
        self.webhook = event.webhook
        self.received_at = self.newest = event.received_at
        """`newest`: no event of its webhook up to it arrived later. Events may be stored in another order than they
        arrived, since a relay may be held up after it has read the clock."""
        self.only = event.only
        self.hold_until = event.hold_until

    def __lt__(self, other: HeldEvent) -> bool:
        return self.seq < other.seq


class _Group:
    """A webhook's held events by their values at one set of paths."""

    def __init__(self, criteria: Criteria):
        self._paths = list(zip(criteria.paths, criteria.selects, strict=True))
        self._by_keys: dict[tuple[Key, ...] | None, list[HeldEvent]] = {}
        """Under None those with too many combinations of values."""
        self._places: dict[int, Sequence[tuple[Key, ...] | None]] = {}

    def add(self, event: HeldEvent, document: Document) -> None:
        if event.seq in self._places:
            return
        values = [document.keys(path, select) for path, select in self._paths]
        many = prod(map(len, values)) > _MANY_VALUES
        self._places[event.seq] = places = (None,) if many else tuple(product(*values))
        for place in places:
            insort(self._by_keys.setdefault(place, []), event)

    def remove(self, event: HeldEvent) -> None:
        for place in self._places.pop(event.seq, ()):
            events = self._by_keys[place]
            del events[bisect_left(events, event)]
            if not events:
                del self._by_keys[place]

    def candidates(self, keys: tuple[Key, ...], received_after: float) -> Iterator[tuple[HeldEvent, bool]]:
        sure, many = self._by_keys.get(keys, []), self._by_keys.get(None, [])
        first = bisect_left(sure, received_after, key=lambda event: event.newest)
        certain = ((sure[index], True) for index in range(first, len(sure)))
        return heapq.merge(certain, [(event, False) for event in many]) if many else certain


class HeldIndex:
    """The held events."""

    def __init__(self) -> None:
        self._events: dict[int, HeldEvent] = {}
        """By `seq`."""
        self._in_order: dict[str, list[HeldEvent]] = {}
        """Webhook → its events in order."""
        self._groups: dict[str, dict[tuple[str, ...], _Group]] = {}
        """Webhook → paths → its events by their values there; the sets of paths that were last used come last."""
        self._by_end: list[tuple[int, int, HeldEvent]] = []
        self._kept: dict[int, HeldEvent] = {}
        """Those that stay held although their hold has ended."""

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, event: HeldEvent) -> bool:
        return event.seq in self._events

    def ended(self, before: float, paused: Collection[str] = (), limit: float = float("inf")) -> list[HeldEvent]:
        """The earliest events whose hold ended before that time, without those that are kept.

        Keeps those of paused webhooks. The others are returned again until they are removed.
        """
        ended: dict[int, HeldEvent] = {}
        while self._by_end and self._by_end[0][0] < before and len(ended) < limit:
            event = heapq.heappop(self._by_end)[2]
            if self._events.get(event.seq) is event and event.seq not in self._kept:
                (self._kept if event.webhook in paused else ended)[event.seq] = event
        for event in ended.values():
            heapq.heappush(self._by_end, (event.hold_until, event.seq, event))
        return list(ended.values())

    def keep(self, event: HeldEvent) -> None:
        """Keeps the event held until `stop_keeping`."""
        self._kept[event.seq] = event

    def stop_keeping(self) -> None:
        """The holds of all that were kept may end now."""
        for event in self._kept.values():
            heapq.heappush(self._by_end, (event.hold_until, event.seq, event))
        self._kept.clear()

    def knows(self, webhook: str, paths: tuple[str, ...]) -> bool:
        """Whether the webhook's events are indexed by this set of paths."""
        return paths in self._groups.get(webhook, {})

    def learn(self, webhook: str, criteria: Criteria, documents: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Indexes the webhook's events by these paths; `documents` gives (seq, payload) of every held one."""
        group = _Group(criteria)
        for seq, document in documents:
            if (event := self._events.get(seq)) is not None:
                group.add(event, Document(document))
        # Reading may have failed above: use the group only if it covers all events.
        groups = self._groups.setdefault(webhook, {})
        groups[criteria.paths] = group
        if len(groups) > _GROUPS:
            del groups[next(iter(groups))]

    def add(self, event: HeldEvent, document: Document) -> None:
        """Holds the event."""
        if event in self:
            return
        self._events[event.seq] = event
        heapq.heappush(self._by_end, (event.hold_until, event.seq, event))
        events = self._in_order.setdefault(event.webhook, [])
        place = bisect_left(events, event)
        events.insert(place, event)
        if place:
            event.newest = max(event.newest, events[place - 1].newest)
        while (place := place + 1) < len(events) and events[place].newest < event.newest:
            events[place].newest = event.newest
        for group in self._groups.get(event.webhook, {}).values():
            group.add(event, document)

    def remove(self, event: HeldEvent) -> None:
        """The event is no longer held."""
        if self._events.pop(event.seq, None) is None:
            return
        self._kept.pop(event.seq, None)
        events = self._in_order[event.webhook]
        del events[bisect_left(events, event)]
        for group in self._groups.get(event.webhook, {}).values():
            group.remove(event)

    def candidates(self, webhook: str, criteria: Criteria, received_after: float) -> Iterator[tuple[HeldEvent, bool]]:
        """Held events whose values fit, oldest first, with all that arrived from then on; False if the event must be
        compared. The webhook's events must be indexed by these paths."""
        groups = self._groups[webhook]
        groups[criteria.paths] = group = groups.pop(criteria.paths)
        return group.candidates(criteria.keys, received_after)
