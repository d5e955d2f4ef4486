"""Which rejected deliveries go when there are too many: of those that are kept with their bytes,
and of the notes.

Pure functions of values.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from operator import attrgetter

from store.rules.senders import sender_of

READ_AT_ONCE = 4 * 1024 * 1024
"""Bytes of deliveries that are read in one go; a larger one is read alone."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is kept of one webhook's deliveries of one kind."""

    number: int
    bytes: int
    age: int
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the choice depends on."""

    id: str
    at: int
    remote: str | None
    size: int
    is_accepted: bool


def surplus(kept: Sequence[Kept], bounds: Bounds, now: int) -> list[str]:
    """The ids of those to delete of one webhook's deliveries, which are given oldest first.

    What is too old goes first, or was kept before the clock was set back and would stay for as
    long. Then what has been accepted. Then each sender that has the most loses its oldest, so that
    a stranger's flood pushes out nothing but itself.
    """
    left = {one.id: one for one in kept if abs(now - one.at) <= bounds.age}
    accepted = [one for one in left.values() if one.is_accepted]
    _drop(accepted, left, bounds.number, bounds.bytes)
    by_number = _in_turn(list(left.values()), lambda _: 1)
    _drop(by_number, left, bounds.number, math.inf)
    by_size = _in_turn(list(left.values()), attrgetter("size"))
    _drop(by_size, left, bounds.number, bounds.bytes)
    return [one.id for one in kept if one.id not in left]


def _drop(first: Iterable[Kept], left: dict[str, Kept], number: int, size: float) -> None:
    """Takes the first of these out of what is left, until that is within number and size."""
    total = sum(one.size for one in left.values())
    for one in first:
        if len(left) <= number and total <= size:
            return
        del left[one.id]
        total -= one.size


def superseded(rejections: Sequence[tuple[int, str | None]], most: int) -> list[int]:
    """The ids of those to delete of one webhook's rejections, which are given oldest first, each
    with its address.

    The newest half stays. Of what is older, each sender that has the most loses its oldest, so that
    a stranger's flood pushes out nothing that came before it from others.
    """
    newest = most // 2
    if len(rejections) <= most:
        return []
    older = [
        Kept(str(id_), 0, remote, 0, False)
        for id_, remote in rejections[: len(rejections) - newest]
    ]
    return list(map(int, surplus(older, Bounds(most - newest, 0, 0), 0)))


def _in_turn(kept: Sequence[Kept], weight: Callable[[Kept], int]) -> Iterator[Kept]:
    """Again and again the oldest of the sender whose others weigh most; of several the one whose
    oldest is oldest."""
    of_sender: dict[str, deque[tuple[int, Kept]]] = {}
    for place, one in enumerate(kept):
        of_sender.setdefault(sender_of(one.remote), deque()).append((place, one))
    heap = [
        (-sum(weight(one) for _, one in sent), sent[0][0], sender)
        for sender, sent in of_sender.items()
    ]
    heapify(heap)
    while heap:
        share, _, sender = heap[0]
        sent = of_sender[sender]
        _, one = sent.popleft()
        if sent:
            heapreplace(heap, (share + weight(one), sent[0][0], sender))
        else:
            heappop(heap)
        yield one


def first_within(sized: Iterable[tuple[str, int]]) -> list[str]:
    """The ids of the first of these (id, bytes) that are no more than `READ_AT_ONCE` together; one
    at least."""
    ids: list[str] = []
    total = 0
    for id_, size in sized:
        total += size
        if ids and total > READ_AT_ONCE:
            break
        ids.append(id_)
    return ids
