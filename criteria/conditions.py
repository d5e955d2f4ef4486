"""Conditions: JSONPath → expected value or operators, as in `when` and `only`; all must hold.

Without operators they are what a task's `matches` are (`criteria.matches`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from criteria.document import Document
from criteria.jsonpath import Select
from criteria.matches import BadMatches, Criteria, Criterion
from criteria.operators import BadOperators, Operators, is_operators


class Conditions(Criteria):
    """Criteria whose expected values may be operators."""

    __slots__ = ("_operators",)

    def __init__(
        self, paths: tuple[str, ...], selects: tuple[Select, ...], expected: tuple[Any, ...]
    ):
        """Raises BadMatches for operators that can't be used."""
        self._operators = tuple(map(_parsed, expected))
        super().__init__(paths, selects, expected)

    def _holds(self, document: Document, place: int) -> bool:
        operators = self._operators[place]
        if operators is None:
            return super()._holds(document, place)
        return operators.holds(document.found(self.paths[place], self.selects[place]))

    def _explained(self, document: Document, place: int) -> Iterator[Criterion]:
        """The operators one by one."""
        [whole] = super()._explained(document, place)
        operators = self._operators[place]
        if operators is None:
            yield whole
            return
        alone = [
            replace(whole, expected=operand, holds=single.holds(whole.found), operator=name)
            for name, operand, single in operators.each()
        ]
        yield from alone
        if not whole.holds and all(criterion.holds for criterion in alone):
            # No one value meets all of them.
            yield replace(whole, missing="")


def _parsed(expected: Any) -> Operators | None:
    if not is_operators(expected):
        return None
    try:
        return Operators(expected)
    except BadOperators as error:
        raise BadMatches(str(error)) from None
