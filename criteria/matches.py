"""Criteria: JSONPath → expected value, as in a task's `matches`; with operators they are
`criteria.conditions`.

Equality has one definition, `comparison_key`: two values are equal if their keys are. So a task can
be found by looking its keys up, at a cost that doesn't grow with the number of tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from criteria.document import Document, Payload
from criteria.equality import comparison_key
from criteria.jsonpath import BadPath, Select, compile_path
from criteria.missing import why_missing

if TYPE_CHECKING:
    from typing_extensions import Self

NO_MATCHES = (
    "its inputParameters have no `matches`, and criteria written flat beside it, as Conductor's"
    ' JavaScript and C# SDKs do, don\'t count: write {"matches": {"$.path": "value"}}, or'
    ' {"matches": {}} for every event'
)


class BadMatches(ValueError):
    """The criteria can't be parsed."""


@dataclass(frozen=True)
class Criterion:
    """One criterion, and what an event holds at its path."""

    path: str
    expected: Any
    found: list[Any]
    """The values that the path selects; empty if there are none."""
    holds: bool
    operator: str | None = None
    """For an operator: its name, such as ``$gt``; `expected` is then the operand."""
    hidden: bool = False
    """Whether the values are blanked because people must not see them."""
    missing: str = ""
    """If nothing was found: why, as far as that can be told."""


class Criteria:
    """Parsed criteria; all of them must hold."""

    __slots__ = ("expected", "keys", "paths", "selects")

    def __init__(
        self, paths: tuple[str, ...], selects: tuple[Select, ...], expected: tuple[Any, ...]
    ):
        self.paths = paths
        self.selects = selects
        self.expected = expected
        self.keys = tuple(map(comparison_key, expected))

    @classmethod
    def parse(cls, matches: object) -> Self:
        """Parses ``{JSONPath: expected value}``; an empty object matches every event.

        Raises BadMatches with the reason if it isn't an object or a path isn't a JSONPath.
        """
        if matches is None:
            raise BadMatches(NO_MATCHES)
        try:
            if not isinstance(matches, Mapping):
                given = json.dumps(matches)[:100]
                raise BadMatches(
                    f"matches must be an object of JSONPath → expected value, not {given}"
                )
            paths, selects = compile_paths(tuple(sorted(matches)))
            return cls(paths, selects, tuple(matches[path] for path in paths))
        except RecursionError:
            raise BadMatches("the matches are nested too deeply") from None

    def holds(self, payload: Payload) -> bool:
        """Whether every criterion holds for the event."""
        document = Document.of(payload)
        return all(self._holds(document, place) for place in range(len(self.paths)))

    def explain(self, payload: Payload) -> list[Criterion]:
        """Each criterion with what was found at its path. Raises TooCostly if the document's steps
        don't suffice."""
        document = Document.of(payload)
        explained = (self._explained(document, place) for place in range(len(self.paths)))
        return list(chain.from_iterable(explained))

    def _holds(self, document: Document, place: int) -> bool:
        key = self.keys[place]
        return key is not None and key in document.keys(self.paths[place], self.selects[place])

    def _explained(self, document: Document, place: int) -> Iterable[Criterion]:
        path, expected = self.paths[place], self.expected[place]
        found = document.found(path, self.selects[place])
        missing = "" if found else why_missing(path, document.value)
        yield Criterion(path, expected, found, self._holds(document, place), missing=missing)


def matches_of(inputs: Mapping[str, Any] | None) -> Any:
    """What a task's input has under `matches`, for `Criteria.parse`; None if it has nothing there.

    Nothing else in the input is a criterion: a task must never take an event that its author meant
    for another.
    """
    return None if inputs is None else inputs.get("matches")


@lru_cache(maxsize=4096)
def compile_paths(paths: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Select, ...]]:
    """The paths and their selecting functions: one object for all tasks with the same set of paths.

    Raises BadMatches.
    """
    try:
        return paths, tuple(map(compile_path, paths))
    except BadPath as error:
        raise BadMatches(str(error)) from None
