"""Deliveries by time and outcome, as the page shows them in tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import NamedTuple

_HOUR, _DAY = 3_600_000, 86_400_000
"""Milliseconds."""
OUTCOMES = (
    "accepted",
    "duplicate",
    "challenge",
    "filtered",
    "rejected",
    "limited",
    "store_unavailable",
)
"""Of deliveries to a webhook: guessed URLs and wrong tokens are counted, too."""

Hours = Sequence[tuple[int, str, int]]
"""(hour as Unix milliseconds, outcome, number)."""


class Period(NamedTuple):
    """The deliveries of the last days, or hours."""

    title: str
    unit: str
    rows: dict[str, Counter[str]]
    """Each day or hour that had some → outcome → number."""

    @property
    def totals(self) -> dict[str, int]:
        """Outcome → number, for those there were."""
        found = sum(self.rows.values(), Counter[str]())
        return {name: found[name] for name in OUTCOMES if found[name]}

    @property
    def most(self) -> int:
        """The number of the busiest day or hour."""
        return max((row.total() for row in self.rows.values()), default=0)


def deliveries_by_time(hours: Hours, now: int) -> list[Period]:
    """Of the last week by the day, and of the last day by the hour (UTC)."""
    return [
        Period("The last 7 days", "Day", _per(hours, now, _DAY, 7, "%a %d %b")),
        Period("The last 24 hours", "Hour", _per(hours, now, _HOUR, 24, "%a %d %b, %H:00 UTC")),
    ]


def _per(hours: Hours, now: int, unit: int, number: int, form: str) -> dict[str, Counter[str]]:
    rows: dict[str, Counter[str]] = {}
    for hour, outcome, count in sorted(hours):
        if outcome in OUTCOMES and hour // unit > now // unit - number:
            begin = datetime.fromtimestamp(hour // unit * unit / 1000, timezone.utc).strftime(form)
            rows.setdefault(begin, Counter())[outcome] += count
    return rows
