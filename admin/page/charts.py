"""Charts as SVG, without scripts: coloured by the style sheet, and described in words for screen readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

from markupsafe import Markup, escape

from admin.cli.tables import plain
from store.records import Event, Target

HOUR = 3_600_000
OUTCOMES = ("accepted", "duplicate", "challenge", "filtered", "rejected", "limited", "store_unavailable")
_WIDTH, _HEIGHT = 440, 130
_TOP, _LEFT, _BELOW = 8, 44, 22
"""Where bars end, where they begin, and the space for the times below them."""
_STEPS = ((100, "0.1 s"), (300, "0.3 s"), (1000, "1 s"), (3000, "3 s"), (10_000, "10 s"), (60_000, "1 min"))
"""Upper bounds in milliseconds, with labels, of the histogram of times; anything longer goes into a last class."""

_NOTHING = Markup()

Hours = Sequence[tuple[int, str, int]]
"""(hour as Unix milliseconds, outcome, number)."""


def deliveries_chart(hours: Hours, now: int) -> Markup:
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
    hours = [this - (number - 1 - place) * HOUR for place in range(number)]
    busiest = max(range(number), key=lambda place: sum(columns[place].values()))
    most = sum(columns[busiest].values())
    if most:
        words += f"; the most in an hour: {most}, at {_hour(hours[busiest])}"
    ceiling = ceiling_for(most)
    shapes = _axes(hours, ceiling)
    for place, column in enumerate(columns):
        if column:
            shapes += _column(place, number, column, hours[place], ceiling)
    key = Markup(" ").join(
        Markup('<span class="key {}">{} {}</span>').format(name, there[name], name) for name in there
    )
    table = _table(hours, columns, tuple(there)) if there else Markup()
    return _figure(title, words, shapes, key, _HEIGHT + _BELOW, "bars", table)


def ceiling_for(most: int) -> int:
    """The end of the axis: a round number, and so is half of it."""
    steps = (factor * 10**power for power in range(19) for factor in (1, 2, 4, 6, 8))
    return next((step for step in steps if step >= max(most, 2)), most)


def _axes(hours: Sequence[int], ceiling: int) -> Markup:
    """Lines with their numbers, and the times: every sixth hour of a day, every midnight of a week."""
    shapes = Markup()
    for number in (0, ceiling // 2, ceiling):
        y = _HEIGHT - number / ceiling * (_HEIGHT - _TOP)
        shapes += Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
            '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(_LEFT, _WIDTH, y, y, _LEFT - 6, y + 4, number)
    is_day = len(hours) <= 24
    for place, hour in enumerate(hours):
        if hour // HOUR % (6 if is_day else 24) == 0:
            x = _LEFT + place * (_WIDTH - _LEFT) / len(hours)
            anchor = "middle" if x < _WIDTH - 20 else "end"
            label = datetime.fromtimestamp(hour / 1000, timezone.utc).strftime("%H:%M" if is_day else "%a %-d")
            shapes += Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
                x, _HEIGHT + 16, anchor, label
            )
    return shapes


def _column(place: int, number: int, column: Mapping[str, int], hour: int, ceiling: int) -> Markup:
    """An hour's bar, which says its numbers when it is pointed at."""
    width = (_WIDTH - _LEFT) / number
    left = _LEFT + place * width
    words = ", ".join(f"{column[name]} {name.replace('_', ' ')}" for name in OUTCOMES if column.get(name))
    shapes = Markup('<title>{}: {}</title><rect class="hit" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
        _hour(hour), words, left, _TOP, width, _HEIGHT - _TOP
    )
    bottom = float(_HEIGHT)
    for name in OUTCOMES:
        if column.get(name):
            height = max(column[name] / ceiling * (_HEIGHT - _TOP), 1)
            bottom -= height
            shapes += Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                name, left + width * 0.1, bottom, width * 0.8, height
            )
    return Markup("<g>{}</g>").format(shapes)


def _table(hours: Sequence[int], columns: Sequence[Mapping[str, int]], names: Sequence[str]) -> Markup:
    """The same numbers as a table: of a day by the hour, of a week by the day."""
    is_day = len(hours) <= 24
    rows: dict[str, dict[str, int]] = {}
    for hour, column in zip(hours, columns, strict=True):
        label = _hour(hour) if is_day else _hour(hour).partition(",")[0]
        row = rows.setdefault(label, dict.fromkeys(names, 0)) if column else {}
        for name in column.keys() & row.keys():
            row[name] += column[name]
    heading = Markup().join(Markup("<th>{}</th>").format(name.replace("_", " ")) for name in names)
    body = Markup().join(
        Markup('<tr><td data-label="{}">{}</td>{}</tr>').format(
            "Hour" if is_day else "Day",
            label,
            Markup().join(
                Markup('<td data-label="{}">{}</td>').format(name.replace("_", " "), row[name]) for name in names
            ),
        )
        for label, row in rows.items()
    )
    return Markup(
        "<details><summary>As a table</summary><table><thead><tr><th>{}</th>{}</tr></thead><tbody>{}</tbody></table>"
        "</details>"
    ).format("Hour" if is_day else "Day", heading, body)


def effect_chart(events: Iterable[Event], targets: Mapping[str, Sequence[Target]]) -> Markup:
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


def waiting_chart(waiting: Mapping[str, int]) -> Markup:
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
        label = name if len(name) <= 20 else name[:19] + "…"
        shapes += Markup(
            '<g><title>{}: {}</title><text x="150" y="{}" text-anchor="end">{}</text>'
            '<rect class="bar" x="160" y="{}" width="{:.1f}" height="16"/>'
            '<text x="{:.1f}" y="{}">{}</text></g>'
        ).format(name, number, y + 14, label, y + 2, number / most * 220, 168 + number / most * 220, y + 14, number)
    said = words + ": " + ", ".join(f"{name} {number}" for name, number in rows.items())
    return _figure(title, said, shapes, escape(words), len(rows) * 24)


def _figure(
    title: str, words: str, shapes: Markup, below: Markup, height: int, kind: str = "rows", table: Markup = _NOTHING
) -> Markup:
    return Markup(
        '<figure class="picture {}"><figcaption>{}</figcaption><svg role="img" aria-label="{}: {}" viewBox="0 0 {} {}">'
        '{}</svg><p class="hint">{}</p>{}</figure>'
    ).format(kind, title, title, words, _WIDTH, height, shapes, below or escape(words), table)


def _hour(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, timezone.utc).strftime("%a %d %b, %H:00 UTC")
