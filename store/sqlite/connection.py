"""One connection to SQLite: sqlite-utils' `Database`, which also takes shared statements (`store.sql`)."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlite_utils import Database

from store.sql import storable
from store.sql.database import Parameters, Rows, Statement


class Connection(Database):
    """A connection that takes shared statements, and any text."""

    def execute(self, sql: str, parameters: Any = None) -> sqlite3.Cursor:
        sql = in_sqlite(sql)
        try:
            return super().execute(sql, parameters)
        except UnicodeEncodeError:  # nothing was executed
            if isinstance(parameters, Mapping):
                return super().execute(sql, {name: _storable(value) for name, value in parameters.items()})
            return super().execute(sql, [_storable(value) for value in parameters])

    def fetch(self, statement: str, parameters: Parameters = ()) -> Rows:
        """Executes a statement; returns its rows."""
        return self.execute(statement, parameters).fetchall()

    def write(self, statement: str, parameters: Parameters = ()) -> int:
        """Executes a statement without result rows; returns the number of rows written."""
        return self.execute(statement, parameters).rowcount

    def fetch_together(self, statements: Sequence[Statement]) -> list[Rows]:
        """Executes statements. Returns the rows of each."""
        return [self.fetch(*statement) for statement in statements]

    def insert(self, into: str, rows: Sequence[Sequence[Any]], rest: str = "") -> Rows:
        """Inserts rows `into` ``bridge.TABLE (COLUMNS)``. Returns the rows of RETURNING, if the `rest` has it."""
        statement = f"INSERT INTO {into} VALUES ({', '.join(['%s'] * len(rows[0]))}) {rest}" if rows else ""
        return [found for row in rows for found in self.fetch(statement, row)]


_LOCK = re.compile(r"\s+FOR (?:UPDATE|NO KEY UPDATE|KEY SHARE)(?: SKIP LOCKED)?")
_ANY = re.compile(r"= ANY\((%s|%\(\w+\)s)\)")
_UNNEST = re.compile(r"unnest\(%s::text\[\]\) AS (\w+) \((\w+)\)")
_NAMED = re.compile(r"%\((\w+)\)s")


@lru_cache(maxsize=512)
def in_sqlite(statement: str) -> str:
    """The statement in SQLite's syntax. One that is SQLite's already is returned unchanged.

    No rows are locked: a write transaction locks the whole database. Lists are passed as JSON (`_as_json`).
    """
    if "bridge." not in statement:
        return statement
    text = _LOCK.sub("", statement.replace("bridge.", ""))
    text = _UNNEST.sub(r"(SELECT value AS \2 FROM json_each(?)) AS \1", text)
    text = _ANY.sub(r"IN (SELECT value FROM json_each(\1))", text).replace("strpos(", "instr(")
    text = text.replace("octet_length(", "length(").replace(' COLLATE "C"', "")
    return _NAMED.sub(r":\1", text.replace("%s", "?"))


def _storable(value: Any) -> Any:
    return storable.text(value) if isinstance(value, str) else value


def _as_json(values: list[Any]) -> str:
    # SQLite's JSON ends a text at its first NUL, so that it would be a different one.
    return json.dumps([storable.text_without_nul(one) if isinstance(one, str) else one for one in values])


sqlite3.register_adapter(list, _as_json)
