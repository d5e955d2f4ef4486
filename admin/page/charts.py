"""Charts as SVG, without scripts: coloured by the style sheet, and described in words for screen readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

from markupsafe import Markup

from store.records import Event, Target

_HOUR, _DAY = 3_600_000, 86_400_000
"""Milliseconds."""
OUTCOMES = ("accepted", "duplicate", "challenge", "filtered", "rejected", "limited", "store_unavailable")
_WIDTH, _HEIGHT = 440, 130
_TOP, _LEFT, _BELOW = 8, 44, 22
"""Where bars end, where they begin, and the space for the times below them."""

Hours = Sequence[tuple[int, str, int]]
"""(hour as Unix milliseconds, outcome, number)."""


def deliveries_chart(hours: Hours, now: int) -> Markup:
    """Deliveries by outcome: of the last day by the hour, of the last week by the day (UTC)."""
    return Markup('<div class="pictures">{}{}</div>').format(
        _bars("The last 24 hours", "hour", _per(hours, now, _HOUR, 24)),
        _bars("The last 7 days", "day", _per(hours, now, _DAY, 7)),
    )


def _per(hours: Hours, now: int, unit: int, number: int) -> dict[int, Counter[str]]:
    """When each of the last `number` hours or days began → how many deliveries had each outcome."""
    columns: dict[int, Counter[str]] = {(now // unit - back) * unit: Counter() for back in reversed(range(number))}
    for hour, outcome, count in hours:
        if (column := columns.get(hour // unit * unit)) is not None:
            column[outcome] += count
    return columns


def _bars(title: str, unit: str, columns: Mapping[int, Counter[str]]) -> Markup:
    totals = sum(columns.values(), Counter())
    there = [name for name in OUTCOMES if totals[name]]
    busiest = max(columns, key=lambda at: columns[at].total())
    most = columns[busiest].total()
    words = ", ".join(f"{totals[name]} {name.replace('_', ' ')}" for name in there) or "no deliveries"
    if most:
        words += f"; the most in {'an hour' if unit == 'hour' else 'a day'}: {most}, at {_label(busiest, unit)}"
    ceiling = ceiling_for(most)
    shapes = Markup().join(_line(number, ceiling) for number in (0, ceiling // 2, ceiling))
    width = (_WIDTH - _LEFT) / len(columns)
    for place, (at, column) in enumerate(columns.items()):
        left = _LEFT + place * width
        if unit == "day" or at // _HOUR % 6 == 0:
            short = datetime.fromtimestamp(at / 1000, timezone.utc).strftime("%a %-d" if unit == "day" else "%H:%M")
            anchor = "middle" if left < _WIDTH - 40 else "end"
            shapes += Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
                left + (width / 2 if anchor == "middle" else width), _HEIGHT + 16, anchor, short
            )
        if column:
            shapes += _column(left, width, column, _label(at, unit), ceiling)
    key = Markup(" ").join(
        Markup('<span class="key {}">{} {}</span>').format(name, totals[name], name) for name in there
    )
    return Markup(
        '<figure class="picture"><figcaption>{}</figcaption>'
        '<svg role="img" aria-label="{}: {}" viewBox="0 0 {} {}">{}</svg><p class="hint">{}</p>{}</figure>'
    ).format(title, title, words, _WIDTH, _HEIGHT + _BELOW, shapes, key or words, _table(unit, columns, there))


def ceiling_for(most: int) -> int:
    """The end of the axis: a round number, and so is half of it."""
    steps = (factor * 10**power for power in range(19) for factor in (1, 2, 4, 6, 8))
    return next((step for step in steps if step >= max(most, 2)), most)


def _line(number: int, ceiling: int) -> Markup:
    """A line of the grid, with its number."""
    y = _HEIGHT - number / ceiling * (_HEIGHT - _TOP)
    return Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
        '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
    ).format(_LEFT, _WIDTH, y, y, _LEFT - 6, y + 4, number)


def _column(left: float, width: float, column: Counter[str], label: str, ceiling: int) -> Markup:
    """A bar, which says its numbers when it is pointed at."""
    words = ", ".join(f"{column[name]} {name.replace('_', ' ')}" for name in OUTCOMES if column[name])
    shapes = Markup('<title>{}: {}</title><rect class="hit" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
        label, words, left, _TOP, width, _HEIGHT - _TOP
    )
    bottom = float(_HEIGHT)
    for name in OUTCOMES:
        if column[name]:
            height = max(column[name] / ceiling * (_HEIGHT - _TOP), 1)
            bottom -= height
            shapes += Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                name, left + width * 0.1, bottom, width * 0.8, height
            )
    return Markup("<g>{}</g>").format(shapes)


def _table(unit: str, columns: Mapping[int, Counter[str]], names: Sequence[str]) -> Markup:
    """The same numbers as a table."""
    if not names:
        return Markup()
    heads = (unit.capitalize(), *(name.replace("_", " ") for name in names))
    rows = ((_label(at, unit), *(column[name] for name in names)) for at, column in columns.items() if column)
    cell = Markup('<td data-label="{}">{}</td>')
    return Markup(
        "<details><summary>As a table</summary><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></details>"
    ).format(
        Markup().join(map(Markup("<th>{}</th>").format, heads)),
        Markup().join(Markup("<tr>{}</tr>").format(Markup().join(map(cell.format, heads, row))) for row in rows),
    )


def _label(at: int, unit: str) -> str:
    form = "%a %d %b" if unit == "day" else "%a %d %b, %H:00 UTC"
    return datetime.fromtimestamp(at / 1000, timezone.utc).strftime(form)


def effect_times(events: Iterable[Event], targets: Mapping[str, Sequence[Target]]) -> str:
    """How long the newest events took from their arrival to their effect in Conductor, in words; "" if none had one."""
    times = sorted(
        target.settled_at - event.received_at
        for event in events
        for target in targets.get(event.id, ())
        if target.state == "done" and target.settled_at is not None
    )
    if not times:
        return ""
    half, slowest = times[len(times) // 2] / 1000, times[-1] / 1000
    took = f"half of the newest {len(times)} took up to {half:.2f} s, the slowest {slowest:.2f} s"
    return f"From arrival to effect in Conductor, {took}."
