"""JSONPaths tried on an event: what each selects, and a `matches` block made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from criteria.jsonpath import BadPath, parse_path

_MOST = 20
"""Paths that are tried at once."""


@dataclass(frozen=True)
class Selection:
    """What a path selects; `error` if it is none."""

    path: str
    values: tuple[Any, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Selections:
    """Several paths on one event."""

    found: tuple[Selection, ...]

    @property
    def matches(self) -> str | None:
        """An `inputParameters` block of a task that this event matches; None if nothing can be matched on."""
        criteria = {one.path: one.values[0] for one in self.found if one.values and one.values[0] is not None}
        return json.dumps({"matches": criteria}, indent=2, ensure_ascii=False) if criteria else None


def select(document: Mapping[str, Any], paths: str) -> Selections:
    """Tries the paths, one a line, on what tasks match on."""
    found = []
    for path in list(filter(None, map(str.strip, paths.splitlines())))[:_MOST]:
        try:
            found.append(Selection(path, tuple(parse_path(path)(document))))
        except BadPath as error:
            found.append(Selection(path, error=str(error)))
    return Selections(tuple(found))
