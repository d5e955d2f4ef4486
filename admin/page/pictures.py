"""Charts as SVG, without scripts: coloured by the style sheet, and described in words for screen readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

from markupsafe import Markup, escape

from admin.cli.tables import plain
from store.records import Event, Target

HOUR = 3_600_000
OUTCOMES = ("accepted", "duplicate", "challenge", "filtered", "rejected", "limited", "store_unavailable")
_WIDTH, _HEIGHT = 720, 120
_STEPS = ((100, "0.1 s"), (300, "0.3 s"), (1000, "1 s"), (3000, "3 s"), (10_000, "10 s"), (60_000, "1 min"))
"""Upper bounds in milliseconds, with labels, of the histogram of times; anything longer goes into a last class."""

Hours = Sequence[tuple[int, str, int]]
"""(hour as Unix milliseconds, outcome, number)."""


def deliveries_picture(hours: Hours, now: int) -> Markup:
    """Deliveries by outcome and hour, for the last day and the last week."""
    this = now // HOUR * HOUR
    day = _columns(hours, this, 24)
    week = _columns(hours, this, 168)
    return (
        Markup('<div class="pictures">')
        + _bars("The last 24 hours", day, this, 24)
        + _bars("The last 7 days", week, this, 168)
        + Markup("</div>")
    )


def _columns(hours: Hours, this: int, number: int) -> list[dict[str, int]]:
    columns: list[dict[str, int]] = [{} for _ in range(number)]
    for hour, outcome, count in hours:
        place = number - 1 - (this - hour) // HOUR
        if 0 <= place < number:
            columns[place][outcome] = columns[place].get(outcome, 0) + count
    return columns


def _bars(title: str, columns: list[dict[str, int]], this: int, number: int) -> Markup:
    totals = {name: sum(column.get(name, 0) for column in columns) for name in OUTCOMES}
    there = {name: total for name, total in totals.items() if total}
    words = ", ".join(f"{total} {name.replace('_', ' ')}" for name, total in there.items()) or "no deliveries"
    busiest = max(range(number), key=lambda place: sum(columns[place].values()))
    most = sum(columns[busiest].values())
    if most:
        words += f"; the most in an hour: {most}, at {_hour(this - (number - 1 - busiest) * HOUR)}"
    width = _WIDTH / number
    shapes = Markup()
    for place, column in enumerate(columns):
        bottom = float(_HEIGHT)
        for name in OUTCOMES:
            height = column.get(name, 0) / most * (_HEIGHT - 4) if most else 0
            if height:
                bottom -= max(height, 1)
                shapes += Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    name, place * width + width * 0.1, bottom, width * 0.8, max(height, 1)
                )
    key = Markup(" ").join(
        Markup('<span class="key {}">{} {}</span>').format(name, there[name], name) for name in there
    )
    return _figure(title, words, shapes, key, kind="bars")


def effect_picture(events: Iterable[Event], targets: Mapping[str, Sequence[Target]]) -> Markup:
    """How long the newest events took from their arrival to their effect in Conductor."""
    times = sorted(
        target.settled_at - event.received_at
        for event in events
        for target in targets.get(event.id, ())
        if target.state == "done" and target.settled_at is not None
    )
    if not times:
        return Markup()
    names = [f"up to {name}" for _, name in _STEPS] + ["longer"]
    counts = dict.fromkeys(names, 0)
    for one in times:
        counts[next((f"up to {name}" for limit, name in _STEPS if one <= limit), "longer")] += 1
    median = times[len(times) // 2] / 1000
    words = f"Half of the newest {len(times)} took up to {median:.2f} s, the slowest {times[-1] / 1000:.2f} s"
    return _rows("Effect time", words, counts)


def waiting_picture(waiting: Mapping[str, int]) -> Markup:
    """Waiting tasks, by workflow."""
    if not waiting:
        return Markup()
    most = sorted(waiting.items(), key=lambda item: -item[1])
    rows = dict(most[:8])
    if len(most) > 8:
        rows["others"] = sum(number for _, number in most[8:])
    words = f"{sum(waiting.values())} waiting tasks in {len(waiting)} workflow{'s' if len(waiting) > 1 else ''}"
    return _rows("What waits", words, rows)


def _rows(title: str, words: str, rows: Mapping[str, int]) -> Markup:
    """Horizontal bars, each with its name and number as text."""
    most = max(rows.values()) or 1
    shapes = Markup()
    rows = {plain(name): number for name, number in rows.items()}
    for place, (name, number) in enumerate(rows.items()):
        y = place * 24
        label = name if len(name) <= 24 else name[:23] + "…"
        shapes += Markup(
            '<text x="170" y="{}" text-anchor="end">{}</text>'
            '<rect class="bar" x="180" y="{}" width="{:.1f}" height="16"/>'
            '<text x="{:.1f}" y="{}">{}</text>'
        ).format(y + 14, label, y + 2, number / most * 460, 188 + number / most * 460, y + 14, number)
    said = words + ": " + ", ".join(f"{name} {number}" for name, number in rows.items())
    return _figure(title, said, shapes, escape(words), len(rows) * 24)


def _figure(title: str, words: str, shapes: Markup, below: Markup, height: int = _HEIGHT, kind: str = "rows") -> Markup:
    return Markup(
        '<figure class="picture {}"><figcaption>{}</figcaption><svg role="img" aria-label="{}: {}" viewBox="0 0 {} {}"'
        ' preserveAspectRatio="{}">{}</svg><p class="hint">{}</p></figure>'
    ).format(
        kind,
        title,
        title,
        words,
        _WIDTH,
        height,
        "none" if kind == "bars" else "xMinYMin",
        shapes,
        below or escape(words),
    )


def _hour(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, timezone.utc).strftime("%a %d %b, %H:00 UTC")
