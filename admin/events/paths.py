"""Tries JSONPaths on an event: what each selects, and a `matches` block made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from criteria.jsonpath import BadPath, parse_path

_MOST = 20
"""Paths that are tried at a time."""


@dataclass(frozen=True)
class Selection:
    """What a path selects, or why it can't be parsed."""

    path: str
    values: tuple[Any, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Selections:
    """What several paths select of one event."""

    found: tuple[Selection, ...]

    @property
    def matches(self) -> str | None:
        """The `inputParameters` of a task that this event would match; None if the paths select nothing."""
        criteria = {one.path: one.values[0] for one in self.found if one.values and one.values[0] is not None}
        return json.dumps({"matches": criteria}, indent=2, ensure_ascii=False) if criteria else None


def select(document: Mapping[str, Any], paths: str) -> Selections:
    """Tries the paths, one per line, on the document that tasks are matched against."""
    found = []
    for path in list(filter(None, map(str.strip, paths.splitlines())))[:_MOST]:
        try:
            found.append(Selection(path, tuple(parse_path(path)(document))))
        except BadPath as error:
            found.append(Selection(path, error=str(error)))
    return Selections(tuple(found))
