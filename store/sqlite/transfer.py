"""The raw tables, for a transfer from or to another store."""

from __future__ import annotations

from collections.abc import Sequence

from store.sql.facts import SET_FACT
from store.sql.transfer import TRANSFER, Row, Table, Tables
from store.sqlite.connections import Connections
from store.sqlite.placeholders import marks


class SqliteTables(Tables):
    """The tables on SQLite."""

    def __init__(self, connections: Connections):
        super().__init__(connections)
        self._connections = connections

    def write(self, table: Table, rows: Sequence[Row], note: str) -> None:
        with self._connections.transaction() as db:
            db.executemany(
                f"INSERT OR REPLACE INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks(table.columns)})",
                rows,
            )
            db.write(SET_FACT, (TRANSFER, note, self._connections.now()))

    def finish(self) -> None:
        with self._connections.transaction() as db:
            db.execute("DELETE FROM facts WHERE name = ?", (TRANSFER,))
