"""Keeps the database small and fast."""

from __future__ import annotations

from store.protocols import Maintenance
from store.records import Pruned
from store.rows import STEP
from store.sql import clock_set_back, once_keys
from store.sqlite import quarantine
from store.sqlite.connections import BUSY_TIMEOUT, Connections
from store.sqlite.parts import marks, parts

_HAS_TARGETS = "SELECT 1 FROM targets WHERE event_id = ? LIMIT 1"
_LONG_LOG = 4000
"""Pages of the write-ahead log after which it is restarted."""


class SqliteMaintenance(Maintenance):
    """Maintenance on SQLite."""

    def __init__(self, connections: Connections):
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

    def prune(self, before: int, limit: int) -> Pruned:
        with self._connections.transaction() as db:
            ids = [
                row[0]
                for row in db.execute(
                    "SELECT id FROM events WHERE settled_at < ? AND seq < (SELECT max(seq) FROM events)"
                    " ORDER BY settled_at LIMIT ?",
                    (before, limit),
                )
            ]
            events, most = 0, STEP
            for part in parts(ids):
                of_events = f"SELECT id FROM targets WHERE event_id IN ({marks(part)}) LIMIT ?"
                targets = [target_id for (target_id,) in db.execute(of_events, (*part, most)).fetchall()]
                most -= len(targets)
                for some in parts(targets):
                    once_keys.prune(db, some)
                    quarantine.take_back(db, "target", list(map(str, some)))
                    db.execute(f"DELETE FROM targets WHERE id IN ({marks(some)})", some)
                # Events that still have targets are left to the next step.
                whole = [id_ for id_ in part if not db.execute(_HAS_TARGETS, (id_,)).fetchone()] if most == 0 else part
                if whole:
                    quarantine.take_back(db, "event", whole)
                    db.execute(f"DELETE FROM events WHERE id IN ({marks(whole)})", whole)
                events += len(whole)
            tasks = db.execute(
                "SELECT id, workflow_id FROM tasks WHERE settled_at < ? ORDER BY settled_at LIMIT ?", (before, limit)
            ).fetchall()
            for task_id, workflow_id in tasks:
                db.execute("DELETE FROM tasks WHERE id = ?", (task_id,))
                db.execute("DELETE FROM workflows WHERE id = ?", (workflow_id,))
            quarantine.take_back(db, "task", [task_id for task_id, _ in tasks])
            quarantine.take_back(db, "workflow", [workflow_id for _, workflow_id in tasks])
            quarantine.prune(db, before, limit)
            db.execute("DELETE FROM delivery_counts WHERE hour < ?", (before,))
        return Pruned(events, len(ids) == limit or most == 0 or len(tasks) == limit)
