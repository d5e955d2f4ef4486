"""Translates shared statements (`store.sql`) for SQLite."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from store.sql import storable


def marks(values: Sequence[Any]) -> str:
    """A question mark for each value."""
    return ", ".join("?" * len(values))


_LOCK = re.compile(r"\s+FOR (?:UPDATE|NO KEY UPDATE|KEY SHARE)(?: SKIP LOCKED)?")
_ANY = re.compile(r"= ANY\((%s|%\(\w+\)s)\)")
_UNNEST = re.compile(r"unnest\(%s::text\[\]\) AS (\w+) \((\w+)\)")
_NAMED = re.compile(r"%\((\w+)\)s")


@lru_cache(maxsize=512)
def in_sqlite(statement: str) -> str:
    """The statement in SQLite's syntax. One that is SQLite's already is returned unchanged.

    No rows are locked: a write transaction locks the whole database. Lists are passed as JSON (`parameters_in_sqlite`).
    """
    if "bridge." not in statement:
        return statement
    text = _LOCK.sub("", statement.replace("bridge.", ""))
    text = _UNNEST.sub(r"(SELECT value AS \2 FROM json_each(?)) AS \1", text)
    text = _ANY.sub(r"IN (SELECT value FROM json_each(\1))", text).replace("strpos(", "instr(")
    text = text.replace("octet_length(", "length(").replace(' COLLATE "C"', "")
    return _NAMED.sub(r":\1", text.replace("%s", "?"))


def parameters_in_sqlite(parameters: Any) -> Any:
    """The parameters of a statement, with lists as JSON."""
    if isinstance(parameters, Mapping):
        return {name: _parameter(value) for name, value in parameters.items()}
    return list(map(_parameter, parameters)) if list in map(type, parameters) else parameters


def _parameter(value: Any) -> Any:
    if type(value) is list:
        # SQLite's JSON ends a text at its first NUL, so that it would be a different one.
        return json.dumps([storable.text_without_nul(one) if isinstance(one, str) else one for one in value])
    return value
