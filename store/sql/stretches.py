"""What became of the events of each stretch of time, for charts: a bounded number is read of each
stretch, and of more events their numbers are estimates."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from store.sql.database import Rows

COUNTED = 1000
"""Delivered events, or events of any status, that are counted in a stretch."""
FEW = 10_000
"""Events of each of `ENDED` that are counted in a stretch. They come in bursts, so more than these
can't be estimated."""
TIMED = 50
"""Delivered events of a stretch whose times are read."""
PENDING = 10_000
"""Pending events of all stretches together whose stretch is looked up."""
ENDED = ("failed", "expired", "ignored")
"""Statuses that few events have, among those that have ended."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The events that arrived within a stretch of time, replays included."""

    numbers: Mapping[str, int]
    """Status → how many."""
    took: Sequence[int]
    """Milliseconds from arrival to the last effect, of some that were delivered, shortest first."""


def counting(parts: Mapping[str, str], newest: Callable[[str, str], str]) -> str:
    """The statement that counts the events of a stretch, by status or `all` of them.

    `parts`: for each of these the table and condition of a list, the delivered ones or `all` first.
    `newest`: SQL for the numbers of a list's newest events. Parameters: `first` and `before`, and
    those of the lists.
    """
    within = {kind: f"{part} AND seq >= %(first)s" for kind, part in parts.items()}
    counts = [
        f"SELECT '{kind}' AS kind, count(*) AS number, min(seq) AS reached"
        f" FROM ({newest(part, str(FEW if kind in ENDED else COUNTED + 1))}) AS counted"
        for kind, part in within.items()
    ]
    timed = newest(next(iter(within.values())), str(TIMED))
    took = (
        "SELECT 'took' AS kind, settled_at - received_at AS number, seq AS reached"
        f" FROM bridge.events WHERE seq IN ({timed}) AND status = 'delivered'"
        " AND settled_at >= received_at"
    )
    return " UNION ALL ".join([*counts, took])


def stretch_of(rows: Rows, first: int, before: int, pending: int) -> Stretch:
    """The stretch from one sequence number to before another, from the rows that the statement
    gives, and the number of its pending events.

    Where more than `COUNTED` are there, they are taken to go on alike, to the first number.
    """
    numbers = {"pending": pending}
    for kind, number, reached in rows:
        if kind != "took":
            is_cut = kind not in ENDED and number > COUNTED
            numbers[kind] = (
                round(number * (before - first) / (before - reached)) if is_cut else number
            )
    if (every := numbers.pop("all", None)) is not None:
        numbers["delivered"] = max(0, every - sum(numbers.values()))
    took = sorted(number for kind, number, _ in rows if kind == "took")
    return Stretch(numbers, took)


def spread(pending: Sequence[int], total: int, firsts: Sequence[int]) -> list[int]:
    """How many pending events each stretch has.

    `pending`: the numbers of the newest, in order; `total`: how many there are with older ones,
    which are taken to lie before them as densely; `firsts`: where each stretch begins, and where
    the last one ends.
    """
    places = [bisect_left(pending, first) for first in firsts]
    found = [end - begin for begin, end in itertools.pairwise(places)]
    left = total - len(pending)
    if left <= 0 or not pending:
        return found
    density = len(pending) / (firsts[-1] - pending[0])
    for place in reversed(range(len(found))):
        unread = min(firsts[place + 1], pending[0]) - firsts[place]
        more = min(left, max(0, round(density * unread)))
        found[place] += more
        left -= more
    return found
