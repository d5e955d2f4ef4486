"""What was looked up about workflows."""

from __future__ import annotations

from collections.abc import Sequence

from store import rows
from store.postgres.connections import Connections
from store.postgres.targets import columns
from store.protocols import KnownWorkflows
from store.records import Workflow


class PostgresWorkflows(KnownWorkflows):
    """Known workflows on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def find(self, workflow_id: str) -> Workflow | None:
        found = self._connections.read(f"SELECT {rows.WORKFLOW} FROM bridge.workflows WHERE id = %s", (workflow_id,))
        return Workflow(*found[0]) if found else None

    def remember(self, workflows: Sequence[Workflow]) -> None:
        by_id = {w.id: w for w in sorted(workflows, key=lambda w: w.id)}
        for step in rows.steps(list(map(rows.workflow_row, by_id.values()))):
            with self._connections.transaction() as connection:
                connection.write(
                    f"INSERT INTO bridge.workflows ({rows.WORKFLOW}) SELECT {rows.WORKFLOW}"
                    " FROM unnest(%b::text[], %b::int[], %b::text[], %b::bigint[], %b::text[])"
                    f" AS new ({rows.WORKFLOW}) ORDER BY id ON CONFLICT (id) DO UPDATE SET version = excluded.version,"
                    " root_id = excluded.root_id, root_started_at = excluded.root_started_at,"
                    " root_correlation_id = excluded.root_correlation_id",
                    columns(step),
                )
