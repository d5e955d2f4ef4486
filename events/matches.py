"""Criteria: JSONPath → expected value, as in a task's `matches` and a start's `when`.

Equality has one definition, `comparison_key`: two values are equal if their keys are. So a task can be found by
looking its keys up, at a cost that doesn't grow with the number of tasks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from config.jsonpath import BadPath, Select, compile_path

Key = str | tuple[str] | None
"""What `comparison_key` gives: text for a scalar, a tuple for an object or list, None for null."""


class BadMatches(ValueError):
    """The criteria can't be parsed."""


def comparison_key(value: Any) -> Key:
    """Equal for values that a criterion holds equal, different for all others.

    Numbers are equal by value, a number or boolean equals the string of its shortest JSON text, strings are equal
    exactly, objects and lists by deep equality and never to a text. null equals nothing: its key is None.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return None
    if isinstance(value, (dict, list)):
        return (_canonical(value),)
    return shortest_text(value)


def shortest_text(value: bool | int | float) -> str:
    """The shortest JSON text of a number or boolean; the same for numbers of the same value (1 and 1.0)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) < 10**21 or int(as_float := _float(value)) != value:
            return str(value)
        value = as_float
    elif value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return 0.0


def _canonical(value: Any) -> str:
    """JSON text that is the same for deeply equal values: sorted keys, numbers in their shortest form."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    if isinstance(value, (str, type(None))):
        return json.dumps(value)
    return shortest_text(value)


@dataclass(frozen=True)
class Criterion:
    """One criterion beside what an event holds at its path."""

    path: str
    expected: Any
    found: list[Any]
    """The values that the path selects; empty when it is missing."""
    holds: bool


class Criteria:
    """Parsed criteria; all of them must hold."""

    __slots__ = ("expected", "keys", "paths", "selects")

    def __init__(self, paths: tuple[str, ...], selects: tuple[Select, ...], expected: tuple[Any, ...]):
        self.paths = paths
        self.selects = selects
        self.expected = expected
        self.keys = tuple(map(comparison_key, expected))

    @classmethod
    def parse(cls, matches: Mapping[str, Any] | None) -> Criteria:
        """Parses ``{JSONPath: expected value}``; None or an empty object matches every event.

        Raises BadMatches with the reason if it isn't an object or a path isn't a JSONPath.
        """
        if matches is None:
            matches = {}
        if not isinstance(matches, Mapping):
            raise BadMatches(f"matches must be an object of JSONPath → expected value, not {json.dumps(matches)[:100]}")
        paths, selects = _compile(tuple(sorted(matches)))
        try:
            return cls(paths, selects, tuple(matches[path] for path in paths))
        except RecursionError:
            raise BadMatches("an expected value is nested too deeply") from None

    def holds(self, document: Mapping[str, Any]) -> bool:
        """Whether every criterion holds for the event's payload (with `_webhook`)."""
        return all(
            key is not None and any(comparison_key(value) == key for value in select(document))
            for select, key in zip(self.selects, self.keys, strict=True)
        )

    def explain(self, document: Mapping[str, Any]) -> list[Criterion]:
        """Each criterion with what was found at its path."""
        found = []
        for path, select, expected, key in zip(self.paths, self.selects, self.expected, self.keys, strict=True):
            values = select(document)
            holds = key is not None and any(comparison_key(value) == key for value in values)
            found.append(Criterion(path, expected, values, holds))
        return found


@lru_cache(maxsize=4096)
def _compile(paths: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Select, ...]]:
    """The paths and their selecting functions: one object for all tasks with the same set of paths."""
    try:
        return paths, tuple(map(compile_path, paths))
    except BadPath as error:
        raise BadMatches(str(error)) from None
