"""Two checkouts that are measured in turn, so that a machine that gets slower meanwhile is fair to both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from testkit.processes import ROOT


def checkouts(beside: Path | None) -> list[Path]:
    """The other checkout, if there is one, and this one."""
    return [ROOT] if beside is None else [beside.absolute(), ROOT]


def in_turn(all_: Sequence[Path], rounds: int) -> Iterator[Path]:
    """Each of them once a round; which one comes first alternates."""
    for number in range(rounds):
        yield from all_ if number % 2 else reversed(all_)
