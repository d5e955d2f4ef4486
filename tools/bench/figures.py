"""Figures next to their goals: the table that is printed, and the JSON that is written."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured ratio, or a bound."""

    area: str
    what: str
    value: float
    goal: str
    """Such as ``>= 0.6``; empty for a figure that only gives the scale."""
    detail: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if not self.goal:
            return None
        sign, bound = self.goal.split()
        return self.value >= float(bound) if sign == ">=" else self.value <= float(bound)


def median(values: Sequence[float]) -> float:
    """The median: one slow round, on a machine that others use too, doesn't change it."""
    return statistics.median(values)


def spread(values: Sequence[float], unit: str = "") -> str:
    """``median (lowest–highest)`` for a figure's detail."""
    return f"{median(values):.3g} ({min(values):.3g}–{max(values):.3g}){unit}"


def table(figures: Sequence[Figure]) -> str:
    """The figures for a person."""
    rows = [("", "", "measured", "goal", "", "")]
    for figure in figures:
        mark = {True: "ok", False: "MISSED", None: ""}[figure.reached]
        rows.append(
            (figure.area, figure.what, f"{figure.value:.3g}", figure.goal, mark, figure.detail)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def write(figures: Sequence[Figure], file: Path) -> None:
    """The figures for a program."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = [{**asdict(figure), "reached": figure.reached} for figure in figures]
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
