"""What fails is narrowed down to the items that cause it, and tried again later. Pure."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Hashable, Sequence
from itertools import count
from typing import Generic, TypeVar

from store.errors import LeadershipLost, RowsUnavailable, StoreUnavailable

FIRST = 0.25
"""Seconds until the second try, for failures that may be over in a moment."""
LONGEST = 15.0
"""Longest pause in seconds where everything waits for the same thing: Conductor, or the store."""
RARELY = 300.0
"""Longest pause in seconds for an item that fails alone."""
_JITTER = 0.25
JITTER = random.Random()  # noqa: S311 - nothing secret
"""Of our own: nobody who seeds Python's shared one, or restores its state, gets draws of ours
between theirs."""
_NEVER = float("inf")
_OUTDATED = 1000
"""Outdated entries of a group, beyond twice as many as there are items, after which they are
removed."""

Key = TypeVar("Key", bound=Hashable)
Group = TypeVar("Group", bound=Hashable)
Item = TypeVar("Item")


def wait_before(
    attempts: int,
    longest: float = LONGEST,
    first: float = FIRST,
    draw: Callable[[], float] = JITTER.random,
) -> float:
    """Seconds until the next try after this many tries: doubles each time, from `first` up to
    `longest`.

    `draw` returns the jitter, between 0 and 1, so that items that failed together aren't retried
    together.
    """
    doublings = min(max(attempts - 1, 0), 30)  # by then the limit has long been reached
    return min(longest, first * 2.0**doublings) + _JITTER * draw()


class Retries(Generic[Key, Group]):
    """Which item is tried next. Each is due at its own time. Groups take turns: however many items
    one has, another's don't wait for them. For one thread at a time. Costs as much as what is due,
    however many items there are."""

    def __init__(self) -> None:
        self._entries: dict[Key, tuple[float, int, Key]] = {}
        self._groups: dict[Group, list[tuple[float, int, Key]]] = {}
        """Heaps, which may hold outdated entries. First comes the group whose turn it is."""
        self._number = count()

    def put(self, key: Key, at: float, group: Group) -> None:
        """The item is due then, in that group; no longer as before."""
        entry = self._entries[key] = (at, next(self._number), key)
        heap = self._groups.setdefault(group, [])
        heapq.heappush(heap, entry)
        if len(heap) > 2 * len(self._entries) + _OUTDATED:
            heap[:] = filter(self._is_valid, heap)
            heapq.heapify(heap)

    def forget(self, key: Key) -> None:
        """The item isn't tried any more."""
        self._entries.pop(key, None)

    def at(self, key: Key) -> float:
        """When the item is due; infinite if it isn't tried any more, or is being tried."""
        return self._entries[key][0] if key in self._entries else _NEVER

    def due_at(self, may: Callable[[Group], bool] = lambda _: True) -> float:
        """When the next item is due, of the groups that `may` be next; infinite if there is none."""
        return min(
            (self._first_at(group) for group in list(self._groups) if may(group)), default=_NEVER
        )

    def pop(self, now: float, may: Callable[[Group], bool] = lambda _: True) -> Key | None:
        """Takes out the next item that is due, of the groups that `may` be next; None if there is
        none."""
        for group in list(self._groups):
            if may(group) and self._first_at(group) <= now:
                heap = self._groups.pop(group)
                _, _, key = heapq.heappop(heap)
                self._groups[group] = heap
                del self._entries[key]
                return key
        return None

    def _first_at(self, group: Group) -> float:
        heap = self._groups[group]
        while heap and not self._is_valid(heap[0]):
            heapq.heappop(heap)
        if not heap:
            del self._groups[group]
            return _NEVER
        return heap[0][0]

    def _is_valid(self, entry: tuple[float, int, Key]) -> bool:
        return self._entries.get(entry[2]) is entry


def concerns_all(error: Exception) -> bool:
    """Whether the error says nothing about an item: all items must wait."""
    return isinstance(error, (LeadershipLost, StoreUnavailable)) and not isinstance(
        error, RowsUnavailable
    )


def failing_items(
    items: Sequence[Item], act: Callable[[Sequence[Item]], object]
) -> list[tuple[Item, Exception]]:
    """Calls `act(items)`, which does all or nothing; if it fails, acts on halves, in order, down to
    single items.

    Returns the items that failed alone, each with its error. Raises errors that concern all of
    them.
    """
    if not items:
        return []
    try:
        act(items)
    except Exception as error:
        if concerns_all(error):
            raise
        if len(items) == 1:
            return [(items[0], error)]
        half = len(items) // 2
        return failing_items(items[:half], act) + failing_items(items[half:], act)
    return []
