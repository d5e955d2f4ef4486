"""The raw tables, for a transfer from or to another store."""

from __future__ import annotations

from collections.abc import Sequence

from store.protocols import Row, Table, Tables
from store.protocols.upkeep import TRANSFER
from store.sqlite.connections import Connections
from store.sqlite.parts import marks


class SqliteTables(Tables):
    """The tables on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def read(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        key = ", ".join(table.key)
        where = f"WHERE ({key}) > ({marks(table.key)})" if after is not None else ""
        sql = f"SELECT {', '.join(table.columns)} FROM {table.name} {where} ORDER BY {key} LIMIT ?"
        return self._connections.read(sql, (*(after or ()), limit))

    def write(self, table: Table, rows: Sequence[Row], note: str) -> None:
        sql = f"INSERT OR REPLACE INTO {{}} ({', '.join(table.columns)}) VALUES ({marks(table.columns)})"
        with self._connections.transaction() as db:
            db.executemany(sql.format(table.name), rows)
            db.execute(
                "INSERT OR REPLACE INTO facts (name, value, at) VALUES (?, ?, ?)",
                (TRANSFER, note, self._connections.now()),
            )

    def count(self, table: Table) -> int:
        return int(self._connections.read(f"SELECT count(*) FROM {table.name}")[0][0])

    def finish(self) -> None:
        with self._connections.transaction() as db:
            db.execute("DELETE FROM facts WHERE name = ?", (TRANSFER,))
