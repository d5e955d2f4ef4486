"""The raw tables, for a transfer from or to another store."""

from __future__ import annotations

from store.protocols import Row, Table, Tables
from store.sql.database import Database
from store.turns import fitting

TRUTH = "not_sent"
"""A column of targets: a number in a transfer, whatever its type in the database."""


class SqlTables(Tables):
    """How rows are written differs between databases: see the subclasses."""

    def __init__(self, database: Database):
        self._database = database

    def read(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        names = ", ".join(f"CAST({name} AS INTEGER)" if name == TRUTH else name for name in table.columns)
        key = ", ".join(table.key)
        where = f"WHERE ({key}) > ({', '.join(['%s'] * len(table.key))})" if after is not None else ""
        rest = f"FROM bridge.{table.name} {where} ORDER BY {key} LIMIT %s"
        if table.large is not None:
            sizes = self._database.read(f"SELECT octet_length({table.large}) {rest}", (*(after or ()), limit))
            limit = fitting([size or 0 for (size,) in sizes])
        return self._database.read(f"SELECT {names} {rest}", (*(after or ()), limit))

    def count(self, table: Table) -> int:
        return int(self._database.read(f"SELECT count(*) FROM bridge.{table.name}")[0][0])
