"""What was looked up about workflows."""

from __future__ import annotations

from collections.abc import Sequence

from store.protocols import KnownWorkflows
from store.records import Workflow
from store.rows import steps, workflow_row
from store.sqlite.connections import Connections


class SqliteWorkflows(KnownWorkflows):
    """Known workflows on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def find(self, workflow_id: str) -> Workflow | None:
        sql = "SELECT id, version, root_id, root_started_at, root_correlation_id FROM workflows WHERE id = ?"
        found = self._connections.read(sql, (workflow_id,))
        return Workflow(*found[0]) if found else None

    def remember(self, workflows: Sequence[Workflow]) -> None:
        for step in steps(workflows):
            with self._connections.transaction() as db:
                db.executemany(
                    "INSERT OR REPLACE INTO workflows (id, version, root_id, root_started_at, root_correlation_id)"
                    " VALUES (?, ?, ?, ?, ?)",
                    list(map(workflow_row, step)),
                )
