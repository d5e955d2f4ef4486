"""Where to begin looking for work: behind what has been done.

An index keeps the entries of what was done until the next vacuum, and of what any snapshot could
still see as it was: while pg_dump or a report holds one for minutes, every scan would step over
everything done since then. So a worker remembers for each busy webhook below which number, or time,
there is no work. Work that turns up below it all the same waits for the next scan without bounds.

What a scan reads must not depend on the planner's statistics either (`IN_ORDER`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from store.sql.database import Statement

IN_ORDER: Statement = (
    "SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)",
    (),
)
"""Comes first in the transaction, or in the message. A large table is seldom analyzed: expecting a
row or two, the planner would read them by any index, and sort them, however many there are. So
where only the first ones are asked for, their order is that of one index, and sorting is said to be
expensive. A plan that sorts all the same must not be compiled for that."""


BUSY = 32
"""Items found of one webhook before a bound is kept for it: stepping over fewer costs no more than
a scan."""
_MOST = 64
"""Webhooks with a bound, at most."""
IN_FULL_EVERY = 10.0
"""Seconds between two scans without bounds."""


class LowWaterMarks:
    """For each busy webhook, the lowest number or time at which there may be work."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._lows: dict[str, int] = {}

    def found(self, webhooks: Iterable[str]) -> None:
        """There was work for these webhooks, each named once per item."""
        found = Counter(webhooks)
        self._found.update(found)
        for webhook in found:
            if webhook in self._lows or self._found[webhook] < BUSY:
                continue
            if len(self._lows) == _MOST:
                least = min(self._lows, key=self._found.__getitem__)
                if self._found[least] >= self._found[webhook]:
                    continue
                del self._lows[least]
            self._lows[webhook] = 0

    def set(self, lows: Mapping[str, int]) -> None:
        """There is no work below these bounds, and there will be none."""
        self._lows |= {webhook: low for webhook, low in lows.items() if webhook in self._lows}

    def set_all(self, low: int) -> None:
        """There is no work below this bound, and there will be none."""
        self._lows = dict.fromkeys(self._lows, low)

    @property
    def busy(self) -> list[str]:
        """The webhooks with a bound."""
        return list(self._lows)

    @property
    def parameters(self) -> dict[str, list[Any]]:
        """The busy webhooks, and the bound of each, as `next_webhooks` takes them."""
        return {"busy": self.busy, "lows": list(self._lows.values())}


def next_webhooks(table: str, where: str, low: str) -> str:
    """SQL for the webhooks with rows for which `where` holds, in turn after ``%(after)s``, and
    their bounds.

    `low` is the column that isn't below a webhook's bound. Of those with a bound (``%(busy)s``,
    ``%(lows)s``), each takes one look at the index of webhook and `low`. Between two of them the
    others are found by jumps from one to the next. Rows are produced one by one, so an appended
    LIMIT ends the looks. The database puts webhooks in order, by rules of its own.
    """

    def between(last: str) -> str:
        def least(greater_than: str) -> str:
            return (
                f"(SELECT r.webhook FROM {table} r WHERE {where}{last} AND r.webhook >"
                f" {greater_than} ORDER BY r.webhook LIMIT 1)"
            )

        return (
            f"WITH RECURSIVE jumps (value) AS (SELECT {least('part.webhook')} UNION ALL SELECT"
            f" {least('jumps.value')} FROM jumps WHERE jumps.value IS NOT NULL)"
            " SELECT value FROM jumps WHERE value IS NOT NULL"
        )

    return f"""
SELECT found.value, part.low FROM (
    SELECT webhook, next, CASE WHEN at THEN low ELSE 0 END AS low, at FROM (
        SELECT webhook, low, lead(webhook) OVER (ORDER BY webhook) AS next FROM (
            SELECT webhook, max(low) AS low FROM (
                SELECT * FROM unnest(%(busy)s::text[], %(lows)s::bigint[]) AS busy (webhook, low)
                UNION ALL VALUES ('', 0), (%(after)s, 0)
            ) AS marks GROUP BY webhook
        ) AS marked
    ) AS marks CROSS JOIN (VALUES (true), (false)) AS places (at)
    ORDER BY CASE WHEN at THEN webhook > %(after)s ELSE webhook >= %(after)s END DESC, webhook, at DESC
) AS part CROSS JOIN LATERAL (
    SELECT part.webhook AS value WHERE part.at AND 1 = (
        SELECT 1 FROM {table} r
        WHERE {where} AND (r.webhook, r.{low}) >= (part.webhook, part.low) AND r.webhook <= part.webhook
        ORDER BY r.webhook, r.{low} LIMIT 1
    )
    UNION ALL SELECT value FROM ({between(" AND r.webhook < part.next")}) AS bounded
    WHERE NOT part.at AND part.next IS NOT NULL
    UNION ALL SELECT value FROM ({between("")}) AS last WHERE NOT part.at AND part.next IS NULL
) AS found
"""
