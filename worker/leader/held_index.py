"""The held events, found for a task at a cost that doesn't grow with their number.

They are indexed by webhook, and by their values at sets of paths.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from criteria.equality import Key, comparison_key
from criteria.jsonpath import Select, plain_steps
from criteria.matches import Criteria
from store.records import Event
from worker.leader.task_index import Document

_MANY_VALUES = 64
"""Combinations of values above which an event is compared with each task instead of being looked up."""
_GROUPS = 32
"""Sets of paths by which a webhook's held events are indexed at a time."""
_FEW = 500
"""Held events of a webhook up to which any new set of paths is indexed."""
_OFTEN = 8
"""Tasks with the same set of paths after which it is indexed for more events too."""
_SETS_COUNTED = 1000
_OUT_OF_ORDER = 10_000
"""Milliseconds by which the order of arrival deviates from the times of arrival, unless an event came even later."""
_BITS = 2048
"""Bits in an event's signature."""


class HeldEvent:
    """What matching needs to know about a held event."""

    __slots__ = ("hold_until", "id", "only", "received_at", "seq", "signature", "size", "webhook")

    def __init__(self, event: Event):
        self.id = event.id
        self.seq = event.seq
        self.webhook = event.webhook
        self.received_at = event.received_at
        self.only = event.only
        self.hold_until = event.hold_until
        self.size = len(event.payload)
        self.signature = 0
        """Bits for each member name and each value in its payload. Criteria that need other bits can't hold."""

    def __lt__(self, other: HeldEvent) -> bool:
        return self.seq < other.seq


class _Group:
    """A webhook's held events by their values at one set of paths."""

    __slots__ = ("by_keys", "many", "selects")

    def __init__(self, selects: tuple[Select, ...]):
        self.selects = selects
        self.by_keys: dict[tuple[Key, ...], list[HeldEvent]] = {}
        self.many: list[HeldEvent] = []
        """Events with too many values to be indexed by every combination."""

    def places(self, paths: tuple[str, ...], document: Document) -> list[tuple[Key, ...]] | None:
        """The combinations of values by which the event is found; None if there are too many."""
        values, number = [], 1
        for path, select in zip(paths, self.selects, strict=True):
            keys = document.keys(path, select)
            values.append(keys)
            number *= len(keys)
        return None if number > _MANY_VALUES else list(product(*values))


class HeldIndex:
    """The held events. An event kept for a task in doubt doesn't end before that task is released."""

    def __init__(self) -> None:
        self._events: dict[str, dict[int, HeldEvent]] = {}
        self._groups: dict[str, dict[tuple[str, ...], _Group]] = {}
        self._places: dict[int, list[tuple[_Group, list[tuple[Key, ...]] | None]]] = {}
        self._by_end: list[tuple[int, int, HeldEvent]] = []
        self._asked: dict[tuple[str, tuple[str, ...]], int] = {}
        self._parked: dict[str, list[HeldEvent]] = {}
        self._kept: dict[str, list[HeldEvent]] = {}
        self._kept_seqs: set[int] = set()
        self._newest: dict[str, tuple[int, int]] = {}
        """Webhook → the last number of its events so far, and the last time of arrival."""
        self._late: dict[str, int] = {}
        """Webhook → milliseconds by which its order of arrival deviates from the times of arrival at most."""
        self._in_order: dict[str, list[HeldEvent]] = {}
        """Webhook → its events in order, some of which may no longer be held; only while events are held again."""

    def __len__(self) -> int:
        return sum(map(len, self._events.values()))

    def __contains__(self, event: HeldEvent) -> bool:
        return event.seq in self._events.get(event.webhook, ())

    def ended(self, before: float, paused: Collection[str] = (), limit: float = float("inf")) -> list[HeldEvent]:
        """The earliest events whose hold ended before that time, except those of paused webhooks.

        They stay until removed; those of paused webhooks aren't looked at again until they are unparked.
        """
        ended: dict[int, HeldEvent] = {}
        while self._by_end and self._by_end[0][0] < before and len(ended) < limit:
            event = heapq.heappop(self._by_end)[2]
            if event in self and event.seq not in self._kept_seqs:
                if event.webhook in paused:
                    self._parked.setdefault(event.webhook, []).append(event)
                else:
                    ended[event.seq] = event
        for event in ended.values():
            heapq.heappush(self._by_end, (event.hold_until, event.seq, event))
        return list(ended.values())

    def unpark(self, webhook: str) -> None:
        """The webhook is no longer paused."""
        for event in self._parked.pop(webhook, ()):
            heapq.heappush(self._by_end, (event.hold_until, event.seq, event))

    def keep(self, event: HeldEvent, task_id: str) -> None:
        """Keeps the event from being `ended` until this task, which may still take it, is released."""
        self._kept.setdefault(task_id, []).append(event)
        self._kept_seqs.add(event.seq)

    def stop_keeping(self, task_id: str) -> None:
        """Stops keeping events for this task."""
        for event in self._kept.pop(task_id, ()):
            self._kept_seqs.discard(event.seq)
            if event in self:
                heapq.heappush(self._by_end, (event.hold_until, event.seq, event))

    def knows(self, webhook: str, paths: tuple[str, ...]) -> bool:
        """Whether the webhook's events are already indexed by this set of paths."""
        return paths in self._groups.get(webhook, {})

    def wants(self, webhook: str, criteria: Criteria) -> bool:
        """Whether the webhook's events should be indexed by these paths, which requires reading each one.

        That isn't worth it for paths that only single tasks have: for those, each event's signature is checked.
        """
        if len(self._events.get(webhook, ())) <= _FEW or not _needed(criteria):
            return True
        place = (webhook, criteria.paths)
        asked = self._asked[place] = self._asked.pop(place, 0) + 1
        if len(self._asked) > _SETS_COUNTED:
            del self._asked[next(iter(self._asked))]
        return asked > _OFTEN

    def _forget_one(self, webhook: str) -> None:
        """Forgets the set of paths that was learned earliest."""
        groups = self._groups[webhook]
        forgotten = groups.pop(next(iter(groups)))
        for seq in self._events.get(webhook, ()):
            if seq in self._places:
                self._places[seq] = [place for place in self._places[seq] if place[0] is not forgotten]

    def learn(self, webhook: str, criteria: Criteria, documents: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Indexes the webhook's events by these paths; `documents` gives (seq, payload) of every held one."""
        group = _Group(criteria.selects)
        events = self._events.get(webhook, {})
        places = [
            (events[seq], group.places(criteria.paths, Document(document)))
            for seq, document in documents
            if seq in events
        ]
        # Reading may have failed above: use the index only if it covers all events.
        self._groups.setdefault(webhook, {})[criteria.paths] = group
        self._asked.pop((webhook, criteria.paths), None)
        if len(self._groups[webhook]) > _GROUPS:
            self._forget_one(webhook)
        for event, found in places:
            self._put(event, group, found)

    def add(self, event: HeldEvent, document: Document) -> None:
        """Holds the event."""
        if event in self:
            return
        self._note_order(event)
        event.signature = _signature(document.value)
        self._events.setdefault(event.webhook, {})[event.seq] = event
        heapq.heappush(self._by_end, (event.hold_until, event.seq, event))
        for paths, group in self._groups.get(event.webhook, {}).items():
            self._put(event, group, group.places(paths, document))

    def _note_order(self, event: HeldEvent) -> None:
        """Notes how late the event was stored: a relay may be held up after it has read the clock."""
        last, newest = self._newest.get(event.webhook, (0, event.received_at))
        # One that isn't the last was free, or set aside, and is held again.
        late = newest - event.received_at if event.seq > last else self._late_among_others(event)
        self._late[event.webhook] = max(late, self._late.get(event.webhook, _OUT_OF_ORDER))
        self._newest[event.webhook] = max(last, event.seq), max(newest, event.received_at)

    def _late_among_others(self, event: HeldEvent) -> int:
        others = self._events.get(event.webhook, {})
        in_order = self._in_order.get(event.webhook)
        if in_order is None or not in_order or in_order[-1] < event or len(in_order) > 2 * len(others) + _FEW:
            in_order = self._in_order[event.webhook] = sorted(others.values())
        place = bisect_left(in_order, event)
        before, behind = in_order[max(0, place - 1) : place], in_order[place : place + 1]
        if all(one.received_at <= event.received_at for one in before) and all(
            one.received_at >= event.received_at for one in behind
        ):  # nearly always; then it is no later among all others than these are among them
            in_order.insert(place, event)
            return 0
        del self._in_order[event.webhook]
        return max(((o.received_at - event.received_at) * (1 if o < event else -1) for o in others.values()), default=0)

    def _put(self, event: HeldEvent, group: _Group, places: list[tuple[Key, ...]] | None) -> None:
        if places is None:
            insort(group.many, event)
        else:
            for place in places:
                insort(group.by_keys.setdefault(place, []), event)
        if places != []:
            self._places.setdefault(event.seq, []).append((group, places))

    def remove(self, event: HeldEvent) -> None:
        """The event is no longer held."""
        self._events.get(event.webhook, {}).pop(event.seq, None)
        self._kept_seqs.discard(event.seq)
        for group, places in self._places.pop(event.seq, ()):
            for place in places if places is not None else (None,):
                events = group.many if place is None else group.by_keys[place]
                index = bisect_left(events, event)
                if index < len(events) and events[index].seq == event.seq:
                    del events[index]
                if place is not None and not events:
                    del group.by_keys[place]

    def candidates(self, webhook: str, criteria: Criteria, received_after: float) -> Iterator[tuple[HeldEvent, bool]]:
        """Held events whose values fit, oldest first, from about that arrival on; False if the event must be
        compared."""
        group = self._groups.get(webhook, {}).get(criteria.paths)
        if group is None:
            needed = _needed(criteria)
            for held in sorted(self._events.get(webhook, {}).values()):
                if held.signature & needed == needed and held.received_at >= received_after - _OUT_OF_ORDER:
                    yield held, False
            return
        sure = group.by_keys.get(criteria.keys, [])
        first = _first_received(sure, received_after - self._late.get(webhook, _OUT_OF_ORDER))
        if not group.many:
            for index in range(first, len(sure)):
                yield sure[index], True
            return
        merged = [(event, True) for event in sure[first:]] + [(event, False) for event in group.many]
        yield from sorted(merged, key=lambda item: item[0].seq)


def _first_received(events: list[HeldEvent], received_from: float) -> int:
    """The index from which on events are looked at.

    `received_from` is as much before the time that matters as the order of arrival deviates. So every event behind one
    that matters arrived from then on, and the search doesn't go past that one.
    """
    return bisect_left(events, received_from, key=lambda event: event.received_at)


def _bit(key: str | tuple[str]) -> int:
    return 1 << hash(key) % _BITS


def _signature(payload: Mapping[str, Any]) -> int:
    """Bits for each member name and each value in the payload, without `_webhook`."""
    places: set[int] = set()
    values: list[Any] = [{name: value for name, value in payload.items() if name != "_webhook"}]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            places.update(hash(name) % _BITS for name in value)
            values += value.values()
        elif isinstance(value, list):
            values += value
        elif value is not None:
            places.add(hash(comparison_key(value)) % _BITS)
    return sum(1 << place for place in places)


def _needed(criteria: Criteria) -> int:
    """The bits in the signature of every event for which the criteria hold; 0 if unknown."""
    needed = 0
    for path, key in zip(criteria.paths, criteria.keys, strict=True):
        steps = plain_steps(path.strip())
        if not steps or steps[0] == "_webhook":
            continue
        for step in steps:
            if isinstance(step, str):
                needed |= _bit(step)
        if isinstance(key, str):
            needed |= _bit(key)
    return needed
