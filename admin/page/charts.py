"""What came in and what became of it, by hour and by day, as the page draws it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from store.sql.queries import Queries

HOUR = 3_600_000
"""Milliseconds."""
SERIES = ("delivered", "held", "expired", "failed", "ignored", "rejected")
"""What a bar is made of, from its foot."""
OTHERS = ("duplicate", "challenge", "filtered", "limited", "store_unavailable")
"""Outcomes of deliveries that are only in the table."""
SMALL = ("accepted", "failed", "rejected")
"""What the bars of a small chart are made of."""

Hours = Sequence[tuple[int, str, int]]
"""(hour as Unix milliseconds, outcome, number of deliveries)."""


@dataclass(frozen=True)
class Bar:
    """An hour or a day."""

    begin: int
    """Unix milliseconds."""
    label: str
    numbers: Mapping[str, int]
    """One of `SERIES`, `OTHERS` or `SMALL` → number."""
    took: int | None = None
    """Milliseconds from arrival to effect: half of the events that were delivered took no longer.
    """

    def total(self, series: Sequence[str]) -> int:
        """How many there are of these."""
        return sum(self.numbers.get(name, 0) for name in series)


@dataclass(frozen=True)
class Chart:
    """Bars side by side, the oldest first."""

    title: str
    unit: str
    bars: Sequence[Bar]
    series: Sequence[str] = SERIES

    @property
    def totals(self) -> dict[str, int]:
        """What there was → number."""
        found = sum((Counter(bar.numbers) for bar in self.bars), Counter[str]())
        return {name: found[name] for name in (*self.series, *OTHERS) if found[name]}

    @property
    def top(self) -> int:
        """The number at the top of the chart."""
        return _round_up(max(bar.total(self.series) for bar in self.bars))

    @property
    def slowest(self) -> int:
        """The milliseconds at the top of the line; 0 without any."""
        times = [bar.took for bar in self.bars if bar.took is not None]
        return _round_up(max(times)) if times else 0

    @property
    def line(self) -> str:
        """The path through the times, 10 wide for each bar and up to 100 high; broken where nothing
        was delivered."""
        path, pen = "", "M"
        for place, bar in enumerate(self.bars):
            if bar.took is None:
                pen = "M"
            else:
                path += f"{pen}{place * 10 + 5} {98 - 96 * bar.took / self.slowest:.1f}h.01"
                pen = "L"
        return path


def _round_up(number: int) -> int:
    """A number with one or two digits before its zeros, and no less."""
    step = 2 * 10 ** (len(str(number)) - 2) if number > 9 else 1
    return -(-number // step) * step or 1


def charts(queries: Queries, now: int, zone: tzinfo, webhook: str | None = None) -> list[Chart]:
    """The last 24 hours and the last 7 days, of a webhook or of all. Days are those of the zone."""
    today = datetime.fromtimestamp(now / 1000, zone).replace(hour=0, minute=0, second=0)
    days = [(today - timedelta(days=back)).replace(microsecond=0) for back in range(6, -1, -1)]
    of_days = [int(day.timestamp() * 1000) for day in days]
    return [
        Chart("Last 24 hours", "Hour", _bars(queries, hours(now), zone, "%H:%M", webhook)),
        Chart("Last 7 days", "Day", _bars(queries, of_days, zone, "%a %-d", webhook)),
    ]


def hours(now: int) -> list[int]:
    """When each of the last 24 hours began, the current one last."""
    return [(now // HOUR - back) * HOUR for back in range(23, -1, -1)]


def _bars(
    queries: Queries, times: list[int], zone: tzinfo, form: str, webhook: str | None
) -> list[Bar]:
    outcomes = _by_bar(queries.delivery_hours(times[0], webhook), times)
    found = []
    for begin, stretch, counted in zip(
        times, queries.by_time(times, webhook), outcomes, strict=True
    ):
        numbers = {name: counted[name] for name in ("rejected", *OTHERS)}
        numbers |= stretch.numbers
        numbers["held"] = numbers.pop("pending")
        median = stretch.took[len(stretch.took) // 2] if stretch.took else None
        found.append(Bar(begin, _label(begin, zone, form), numbers, median))
    return found


def small_charts(
    rows: Mapping[str, Hours], failed: Mapping[str, Sequence[int]], now: int, zone: tzinfo
) -> dict[str, Chart]:
    """Each webhook's last 24 hours: what it accepted and rejected, and what failed of it.

    `rows`: webhook → its deliveries by the hour; `failed`: webhook → when what failed had arrived.
    """
    times = hours(now)
    found = {}
    for webhook, of_webhook in rows.items():
        counts = _by_bar(of_webhook, times)
        for at in failed.get(webhook, ()):
            if at >= times[0]:
                counts[_place(at, times)]["failed"] += 1
        for count in counts:
            count["accepted"] = max(0, count["accepted"] - count["failed"])
        labels = [_label(begin, zone, "%H:%M") for begin in times]
        bars = [Bar(*each) for each in zip(times, labels, counts, strict=True)]
        found[webhook] = Chart("Last 24 hours", "Hour", bars, SMALL)
    return found


def _by_bar(rows: Hours, times: Sequence[int]) -> list[Counter[str]]:
    found: list[Counter[str]] = [Counter() for _ in times]
    for hour, outcome, number in rows:
        found[_place(hour, times)][outcome] += number
    return found


def _place(at: int, times: Sequence[int]) -> int:
    return max(0, bisect_right(times, at) - 1)


def _label(at: int, zone: tzinfo, form: str) -> str:
    return datetime.fromtimestamp(at / 1000, zone).strftime(form)
