"""Keeps the database small and fast."""

from __future__ import annotations

from store.sql import clock_set_back
from store.sql.maintenance import Maintenance
from store.sqlite.connections import BUSY_TIMEOUT, Connections

_LONG_LOG = 4000
"""Pages of the write-ahead log after which it is restarted."""


class SqliteMaintenance(Maintenance):
    """Maintenance on SQLite."""

    finished = "SELECT id, settled_at FROM events WHERE settled_at >= ? AND settled_at < ? ORDER BY settled_at LIMIT ?"
    delete_events = "DELETE FROM bridge.events WHERE id = ANY(%s)"

    def __init__(self, connections: Connections):
        super().__init__(connections)
        self._connections = connections

    def advice(self) -> list[str]:
        return []  # each connection sets what it needs

    def run(self) -> None:
        clock_set_back.make_due(self._connections)
        with self._connections.reading() as db:
            pages = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
            # Under constant load the log never empties by itself. This checkpoint waits for readers and blocks writers
            # meanwhile, so it mustn't wait for a backup.
            if pages > _LONG_LOG:
                db.execute("PRAGMA busy_timeout=50")
                try:
                    db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                finally:
                    db.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT * 1000)}")
