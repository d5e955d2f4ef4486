"""Whose turn it is when many webhooks have work: pure functions, so that all stores are equally fair.

If there is more than is taken at once, a round goes over the webhooks and takes a share from each; the next round
starts after the last webhook that had its turn. So none waits longer than one round, however much the others have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

from store.records import Task

_Item = TypeVar("_Item")

WEBHOOKS = 32
"""Webhooks that get a turn at once, at most, so that the cost doesn't grow with their number."""
BYTES = 8_000_000
"""Characters of payload that are read at once. The event that exceeds it is the last, so each one is read
eventually."""
_NOTHING = object()


def share(limit: int, webhooks: int) -> int:
    """How many items of each webhook are looked at if `limit` are taken in total."""
    return -(-limit // max(1, webhooks))


def shares(limit: int, webhooks: Sequence[str]) -> dict[str, int]:
    """How many items each webhook gets of `limit`: at least one, or it is left out."""
    each, more = divmod(limit, len(webhooks)) if webhooks else (0, 0)
    return {webhook: each + (turn < more) for turn, webhook in enumerate(webhooks) if each or turn < more}


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
    """The webhook after which the next round starts, once these have had their turn and some of them got something."""
    return next((webhook for webhook in reversed(webhooks) if webhook in served), webhooks[-1] if webhooks else "")


def read_to(tasks: Sequence[Task], limit: int) -> str:
    """The task after which the next `limit` are read, after these: tasks that stay must not hide the others."""
    return tasks[-1].id if len(tasks) == limit else ""


def in_turn(lists: Sequence[Sequence[_Item]]) -> list[_Item]:
    """The first item of each list, then the second of each, and so on."""
    rounds = zip_longest(*lists, fillvalue=_NOTHING)
    return [item for item in chain.from_iterable(rounds) if item is not _NOTHING]  # type: ignore[misc]
