"""Whose turn it is where many webhooks have something to do: pure functions, so that every store is as fair.

Where there is more than is taken at once, a round goes over the webhooks and takes a share of each, and the next round
begins after the last one that had its turn. So none waits longer than one round, however much the others have.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

from store.records import Task

_Item = TypeVar("_Item")

WEBHOOKS = 32
"""Webhooks that have their turn at once, at most: so it costs the same for few and for many of them."""
BYTES = 8_000_000
"""Payload that is read at once, in characters. The event that goes beyond it is the last, so each is read some time."""
_NOTHING = object()


def share(limit: int, webhooks: int) -> int:
    """How many items of each webhook are looked at, if `limit` are taken of all of them."""
    return -(-limit // max(1, webhooks))


def last_served(webhooks: Sequence[str], served: Collection[str]) -> str:
    """The webhook after which the next round begins, after these had their turn and some of them got something."""
    return next((webhook for webhook in reversed(webhooks) if webhook in served), webhooks[-1] if webhooks else "")


def read_to(tasks: Sequence[Task], limit: int) -> str:
    """The task after which the next `limit` are read, after these: those that stay must not hide the others."""
    return tasks[-1].id if len(tasks) == limit else ""


def in_turn(lists: Sequence[Sequence[_Item]]) -> list[_Item]:
    """The first item of each list, then the second of each, and so on."""
    rounds = zip_longest(*lists, fillvalue=_NOTHING)
    return [item for item in chain.from_iterable(rounds) if item is not _NOTHING]  # type: ignore[misc]
