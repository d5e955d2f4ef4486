"""Splits lists of parameters into parts that fit into one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

_MANY = 500


def parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The values in parts, each for one ``IN (…)``."""
    for start in range(0, len(values), _MANY):
        yield values[start : start + _MANY]


def marks(values: Sequence[Any]) -> str:
    """A question mark for each value."""
    return ", ".join("?" * len(values))
