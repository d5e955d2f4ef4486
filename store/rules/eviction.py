"""Which rejected deliveries go when there are too many: of those that are kept with their bytes,
and of the notes.

Pure functions of values.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heapreplace
from ipaddress import IPv6Address, ip_address, ip_network
from operator import attrgetter

READ_AT_ONCE = 4 * 1024 * 1024
"""Bytes of deliveries that are read in one go; a larger one is read alone."""
_SITE = 64
"""Bits of an IPv6 address that identify one sender, which has all addresses with this prefix."""


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
    gone = {one.id for one in kept if abs(now - one.at) > bounds.age}
    left = [one for one in kept if one.id not in gone]
    number, total = len(left), sum(one.size for one in left)

    def drop(one: Kept) -> None:
        nonlocal number, total
        gone.add(one.id)
        number, total = number - 1, total - one.size

    accepted = (one for one in left if one.is_accepted)
    others = [one for one in left if not one.is_accepted]
    while (number > bounds.number or total > bounds.bytes) and (
        one := next(accepted, None)
    ) is not None:
        drop(one)
    by_number = _in_turn(others, lambda _: 1)
    while number > bounds.number:
        drop(next(by_number))
    by_size = _in_turn([one for one in others if one.id not in gone], attrgetter("size"))
    while total > bounds.bytes:
        drop(next(by_size))
    return [one.id for one in kept if one.id in gone]


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


@lru_cache(maxsize=4096)
def sender_of(remote: str | None) -> str:
    """The address, of IPv6 the network that one sender has; empty if it is unknown."""
    try:
        address = ip_address(remote or "")
    except ValueError:
        return remote or ""
    return (
        str(ip_network((address, _SITE), strict=False))
        if isinstance(address, IPv6Address)
        else str(address)
    )


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
