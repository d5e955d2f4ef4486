"""Keeps the database small and fast, and moves its rows to or from another store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from config import private
from store.sql import maintenance
from store.sql.facts import SET_FACT
from store.sql.maintenance import TRANSFER, Maintenance, Row, Table, Tables
from store.sqlite.connections import BUSY_TIMEOUT, Connections

_LONG_LOG = 4000
"""Pages of the write-ahead log after which it is restarted."""


class SqliteMaintenance(Maintenance):
    """Maintenance on SQLite."""

    finished = (
        "SELECT id, settled_at FROM events WHERE settled_at >= ? AND settled_at < ? ORDER BY"
        " settled_at LIMIT ?"
    )
    delete_events = "DELETE FROM bridge.events WHERE id = ANY(%s)"

    def __init__(self, connections: Connections):
        super().__init__(connections)
        self._connections = connections

    def advice(self) -> list[str]:
        return []  # each connection sets what it needs

    def backup(self, file: Path) -> None:
        # A folder, as SQLite makes a journal beside the copy, and leaves it where the disk is full.
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
            name = Path(folder, "copy")
            with open(name, "xb", opener=private.opener) as copy, self._connections.reading() as db:
                db.execute("VACUUM INTO ?", [str(name)])
                os.fsync(copy.fileno())  # SQLite leaves that to its caller
            os.rename(name, file)

    def run(self) -> None:
        maintenance.make_due(self._connections)
        with self._connections.reading() as db:
            pages = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
            # Under constant load the log never empties by itself. This checkpoint waits for readers
            # and blocks writers meanwhile, so it mustn't wait for a backup.
            if pages > _LONG_LOG:
                db.execute("PRAGMA busy_timeout=50")
                try:
                    db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                finally:
                    db.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT * 1000)}")


class SqliteTables(Tables):
    """The tables on SQLite."""

    columns = "SELECT name FROM pragma_table_info(?)"

    def __init__(self, connections: Connections):
        super().__init__(connections)
        self._connections = connections

    def write(self, table: Table, rows: Sequence[Row], note: str) -> None:
        with self._connections.transaction() as db:
            db.table(table.name).insert_all([table.columns, *rows], replace=True)
            db.write(SET_FACT, (TRANSFER, note, self._connections.now()))

    def finish(self) -> None:
        with self._connections.transaction() as db:
            db.table("facts").delete_where("name = ?", [TRANSFER])
