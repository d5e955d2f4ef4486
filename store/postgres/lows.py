"""Where to begin to look for what is to be done: behind what has been done.

An index keeps the entries of what was done for as long as any snapshot could still see it as it was. While pg_dump or a
report holds one for minutes, every look would pass over all that was done since. So as long as somebody does, whoever
looks remembers for each busy webhook below which number, or time, there is nothing. Otherwise that isn't worth a longer
statement.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from store.clock import MonotonicClock
from store.sql.database import Rows, Statement

BUSY = 32
"""Items of one webhook that were found until a bound is kept for it: to pass over fewer costs no more than a look."""
_MOST = 64
"""Webhooks with a bound."""
LOOK_EVERY = 0.5
"""Seconds between two looks for a snapshot that is held."""
_AGE = 1000
"""Transactions since a snapshot was taken from which on it counts as held."""
_OLDEST = """
SELECT greatest((
    SELECT max(age(backend_xmin)) FROM pg_stat_activity WHERE datname IS NULL OR datname = current_database()
), (SELECT max(age(xmin)) FROM pg_replication_slots))
"""
"""A session's in this database, as others hold up nothing here, or a standby's that reports its own."""


class Held:
    """Whether somebody holds a snapshot."""

    def __init__(self, clock: MonotonicClock = time):
        self._clock = clock
        self._next_at = float("-inf")
        self._is_held = False

    def __bool__(self) -> bool:
        return self._is_held

    def statements(self) -> list[Statement]:
        """What to ask now; the answer goes to `seen`. None if not due."""
        now = self._clock.monotonic()
        if now < self._next_at:
            return []
        self._next_at = now + LOOK_EVERY
        return [(_OLDEST, ())]

    def seen(self, oldest: Rows) -> None:
        """Takes the answer."""
        self._is_held = (oldest[0][0] or 0) > _AGE


class Lows:
    """webhook → the least number or time at which it may have something to do."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._lows: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._lows)

    def found(self, webhooks: Iterable[str]) -> None:
        """There was something to do for these, once for each item."""
        self._found.update(webhooks)
        for webhook, number in self._found.most_common(_MOST):
            if number >= BUSY:
                self._lows.setdefault(webhook, 0)

    def set(self, lows: Mapping[str, int]) -> None:
        """Nothing is to be done, nor will be, below these."""
        self._lows |= {webhook: low for webhook, low in lows.items() if webhook in self._lows}

    def set_all(self, low: int) -> None:
        """Nothing is to be done, nor will be, below this."""
        self._lows = dict.fromkeys(self._lows, low)

    def forget(self) -> None:
        """Anything may be to be done."""
        self.set_all(0)

    @property
    def parameters(self) -> dict[str, list[Any]]:
        """The busy webhooks, and the bound of each, as `next_webhooks` takes them."""
        return {"busy": list(self._lows), "lows": list(self._lows.values())}


def next_webhooks(table: str, where: str, low: str) -> str:
    """SQL for the webhooks with rows for which `where` holds, in turn after ``%(after)s``, and their bounds.

    `low` is the column that isn't below a webhook's bound. Of those with a bound (``%(busy)s``, ``%(lows)s``), each
    takes one look at the index of webhook and `low`. Between two of them the others are found by jumps from one to the
    next. Rows are produced one by one, so an appended LIMIT ends the looks. The database puts webhooks in order, by
    rules of its own.
    """

    def between(last: str) -> str:
        found = f"SELECT min(r.webhook) FROM {table} r WHERE {where}{last}"
        return (
            f"WITH RECURSIVE jumps (value) AS ({found} AND r.webhook > part.webhook UNION ALL SELECT"
            f" ({found} AND r.webhook > jumps.value) FROM jumps WHERE jumps.value IS NOT NULL)"
            " SELECT value FROM jumps WHERE value IS NOT NULL"
        )

    return f"""
SELECT found.value, part.low FROM (
    SELECT webhook, next, low, at FROM (
        SELECT webhook, low, lead(webhook) OVER (ORDER BY webhook) AS next FROM (
            SELECT webhook, max(low) AS low FROM (
                SELECT * FROM unnest(%(busy)s::text[], %(lows)s::bigint[]) AS busy (webhook, low)
                UNION ALL VALUES ('', 0), (%(after)s, 0)
            ) AS marks GROUP BY webhook
        ) AS marked
    ) AS marks CROSS JOIN (VALUES (true), (false)) AS places (at)
    ORDER BY CASE WHEN at THEN webhook > %(after)s ELSE webhook >= %(after)s END DESC, webhook, at DESC
) AS part CROSS JOIN LATERAL (
    SELECT part.webhook AS value WHERE part.at AND EXISTS (
        SELECT 1 FROM {table} r WHERE {where} AND r.webhook = part.webhook AND r.{low} >= part.low
    )
    UNION ALL SELECT value FROM ({between(" AND r.webhook < part.next")}) AS bounded
    WHERE NOT part.at AND part.next IS NOT NULL
    UNION ALL SELECT value FROM ({between("")}) AS last WHERE NOT part.at AND part.next IS NULL
) AS found
"""
