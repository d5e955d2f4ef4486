"""Conditions: JSONPath → expected value or operators, as in `when` and `only`; all must hold.

Without operators they are what a task's `matches` are (`criteria.matches`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from criteria.equality import comparison_key
from criteria.jsonpath import Select
from criteria.matches import BadMatches, Criterion, compile_paths
from criteria.missing import why_missing
from criteria.operators import BadOperators, Operators, is_operators

Holds = Callable[[Sequence[Any]], bool]
"""Whether an expectation holds for the values that its path selects."""


class Conditions:
    """Parsed conditions."""

    __slots__ = ("_expected", "_holds", "_paths", "_selects")

    def __init__(self, paths: tuple[str, ...], selects: tuple[Select, ...], expected: Sequence[Any]):
        """Raises BadMatches for operators that can't be used."""
        self._paths = paths
        self._selects = selects
        self._expected = expected
        self._holds: list[Holds] = list(map(_holds, expected))

    @classmethod
    def parse(cls, written: Mapping[str, Any]) -> Conditions:
        """Parses ``{JSONPath: expected value or operators}``; an empty object holds for every event.

        Raises BadMatches with the reason if a path isn't a JSONPath, or operators can't be used.
        """
        paths, selects = compile_paths(tuple(sorted(written)))
        return cls(paths, selects, [written[path] for path in paths])

    def holds(self, document: Mapping[str, Any]) -> bool:
        """Whether every condition holds for the event's payload (with `_webhook`)."""
        return all(holds(select(document)) for select, holds in zip(self._selects, self._holds, strict=True))

    def explain(self, document: Mapping[str, Any]) -> list[Criterion]:
        """Each condition with what was found at its path, operators one by one."""
        explained: list[Criterion] = []
        for path, select, expected, holds in zip(self._paths, self._selects, self._expected, self._holds, strict=True):
            found = select(document)
            missing = "" if found else why_missing(path, document)
            if not is_operators(expected):
                explained.append(Criterion(path, expected, found, holds(found), missing=missing))
                continue
            alone = [
                Criterion(path, operand, found, single.holds(found), name, missing=missing)
                for name, operand, single in Operators(expected).each()
            ]
            explained += alone
            if not holds(found) and all(criterion.holds for criterion in alone):
                explained.append(Criterion(path, expected, found, False))  # no one value meets all of them
        return explained


def _holds(expected: Any) -> Holds:
    if is_operators(expected):
        try:
            return Operators(expected).holds
        except BadOperators as error:
            raise BadMatches(str(error)) from None
    key = comparison_key(expected)
    return lambda found: key is not None and any(comparison_key(value) == key for value in found)
