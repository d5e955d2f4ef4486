"""How work is shared fairly: webhooks take turns, and none gets more calls than its pace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

_Item = TypeVar("_Item")

WEBHOOKS = 32
"""Webhooks that get a turn at once, at most, so that the cost doesn't grow with their number."""
BYTES = 8_000_000
"""Characters of payload that are read at once. The event that exceeds it is the last, so each one
is read eventually."""
_NOTHING = object()


def share(limit: int, webhooks: int) -> int:
    """How many items of each webhook are looked at if `limit` are taken in total."""
    return -(-limit // max(1, webhooks))


def shares(limit: int, webhooks: Sequence[str]) -> dict[str, int]:
    """How many items each webhook gets of `limit`: at least one, or it is left out."""
    if not webhooks:
        return {}
    each, rest = divmod(limit, len(webhooks))
    found = dict.fromkeys(webhooks[:rest], each + 1)
    if each:
        found |= dict.fromkeys(webhooks[rest:], each)
    return found


class Turns:
    """A round of claims, in which webhooks take turns until nothing more may be claimed.

    What one webhook leaves of its share goes to those that got nothing yet, then to those that may
    have more.
    """

    def __init__(self, room: int, most: Mapping[str, int]):
        """`room`: how many targets may be claimed. `most`: webhook → how many of its targets, in
        the order of the turns."""
        self.served = Counter[str]()
        self._room = room
        self._most = most
        self._waiting = [webhook for webhook in most if self._may_claim(webhook)]

    def next_shares(self) -> dict[str, int]:
        """webhook → how many of its targets are claimed next. Empty once the round is over."""
        asked = shares(self._room, self._waiting)
        return {webhook: min(share, self._left(webhook)) for webhook, share in asked.items()}

    def note(self, asked: Mapping[str, int], claimed: Counter[str]) -> None:
        """So many were claimed of what was `asked`."""
        self._room -= claimed.total()
        self.served += claimed
        not_asked = [webhook for webhook in self._waiting if webhook not in asked]
        # A webhook that got less than its share has no more targets.
        again = [
            webhook
            for webhook, share in asked.items()
            if claimed[webhook] == share and self._may_claim(webhook)
        ]
        self._waiting = [*not_asked, *again]

    def _left(self, webhook: str) -> int:
        return self._most[webhook] - self.served[webhook]

    def _may_claim(self, webhook: str) -> bool:
        return self._left(webhook) > 0


def fitting(sizes: Iterable[int]) -> int:
    """How many of the first items of these sizes are read at once."""
    number, room = 0, BYTES
    for size in sizes:
        if room <= 0:
            break
        number += 1
        room -= size
    return number


def last_served(webhooks: Sequence[str], served: Collection[str]) -> str:
    """The webhook after which the next round starts, once these have had their turn and some of
    them got something."""
    last = webhooks[-1] if webhooks else ""
    return next((webhook for webhook in reversed(webhooks) if webhook in served), last)


def in_turn(lists: Sequence[Sequence[_Item]]) -> list[_Item]:
    """The first item of each list, then the second of each, and so on."""
    rounds = zip_longest(*lists, fillvalue=_NOTHING)
    return [item for item in chain.from_iterable(rounds) if item is not _NOTHING]  # type: ignore[misc]


_CATCH_UP = 50.0
"""Milliseconds of calls that may be caught up at once."""


def allowed_by_pace(rate: float, next_at: float, now: float) -> int:
    """How many calls may be made now, at `rate` calls a second. Times are milliseconds.

    Calls are spread evenly: each takes up one interval, and `next_at` is when the next one may be
    made. The store is checked at intervals too, so a fast pace may catch up on the time since the
    last check, up to a twentieth of a second.
    """
    begin = _begin(rate, next_at, now)
    if begin > now:
        return 0
    return int((now - begin) * rate / 1000) + 1


def within_paces(
    most: Mapping[str, int], paces: Mapping[str, float], next_at: Mapping[str, float], now: float
) -> dict[str, int]:
    """`most`, how many calls each webhook may make, reduced to what its pace allows now.

    `next_at` says when the next call of a webhook with a pace may be made. Those that are missing
    there may make none: another worker is making theirs.
    """
    allowed = dict(most)
    for webhook in paces.keys() & most.keys():
        if webhook in next_at:
            by_pace = allowed_by_pace(paces[webhook], next_at[webhook], now)
            allowed[webhook] = min(most[webhook], by_pace)
        else:
            allowed[webhook] = 0
    return allowed


def next_by_pace(calls: int, rate: float, next_at: float, now: float) -> float:
    """When the next call may be made, after this many were made now."""
    return _begin(rate, next_at, now) + calls * 1000 / rate


def _begin(rate: float, next_at: float, now: float) -> float:
    """When counting starts: time that passed unused longer ago is lost."""
    return max(next_at, now - max(0.0, _CATCH_UP - 1000 / rate))
