"""Conditions: JSONPath → expected value or operators, as in `when` and `only`; all must hold.

Without operators they are what a task's `matches` are (`criteria.matches`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from criteria.document import Document, Payload
from criteria.equality import Key, comparison_key
from criteria.jsonpath import Select
from criteria.matches import BadMatches, Criterion, compile_paths
from criteria.missing import why_missing
from criteria.operators import BadOperators, Operators, is_operators

_Expected = Operators | Key
"""What is expected at a path: operators, or the comparison key of a value."""


class Conditions:
    """Parsed conditions."""

    __slots__ = ("_expected", "_paths", "_selects", "_written")

    def __init__(
        self, paths: tuple[str, ...], selects: tuple[Select, ...], expected: Sequence[Any]
    ):
        """Raises BadMatches for operators that can't be used."""
        self._paths = paths
        self._selects = selects
        self._written = expected
        self._expected: list[_Expected] = list(map(_parsed, expected))

    @classmethod
    def parse(cls, written: Mapping[str, Any]) -> Conditions:
        """Parses ``{JSONPath: expected value or operators}``; an empty object holds for every
        event.

        Raises BadMatches with the reason if a path isn't a JSONPath, or operators can't be used.
        """
        paths, selects = compile_paths(tuple(sorted(written)))
        return cls(paths, selects, [written[path] for path in paths])

    def holds(self, payload: Payload) -> bool:
        """Whether every condition holds for the event."""
        document = Document.of(payload)
        return all(
            _holds(expected, document, path, select)
            for path, select, expected in zip(
                self._paths, self._selects, self._expected, strict=True
            )
        )

    def explain(self, payload: Payload) -> list[Criterion]:
        """Each condition with what was found at its path, operators one by one. Raises TooCostly if
        the document's steps don't suffice."""
        document = Document.of(payload)
        explained: list[Criterion] = []
        rows = zip(self._paths, self._selects, self._written, self._expected, strict=True)
        for path, select, written, expected in rows:
            found = document.found(path, select)
            holds = _holds(expected, document, path, select)
            missing = "" if found else why_missing(path, document.value)
            if not isinstance(expected, Operators):
                explained.append(Criterion(path, written, found, holds, missing=missing))
                continue
            alone = [
                Criterion(path, operand, found, single.holds(found), name, missing=missing)
                for name, operand, single in expected.each()
            ]
            explained += alone
            if not holds and all(criterion.holds for criterion in alone):
                # No one value meets all of them.
                explained.append(Criterion(path, written, found, False))
        return explained


def _parsed(written: Any) -> _Expected:
    if not is_operators(written):
        return comparison_key(written)
    try:
        return Operators(written)
    except BadOperators as error:
        raise BadMatches(str(error)) from None


def _holds(expected: _Expected, document: Document, path: str, select: Select) -> bool:
    if isinstance(expected, Operators):
        return expected.holds(document.found(path, select))
    return expected is not None and expected in document.keys(path, select)
