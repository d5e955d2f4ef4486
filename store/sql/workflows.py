"""What was looked up about workflows."""

from __future__ import annotations

from collections.abc import Sequence

from store.records import Workflow
from store.sql import rows
from store.sql.database import Part

_KEEP_LAST = """
ON CONFLICT (id) DO UPDATE SET version = excluded.version, root_id = excluded.root_id,
    root_started_at = excluded.root_started_at, root_correlation_id = excluded.root_correlation_id
"""


class KnownWorkflows(Part):
    """What was looked up about workflows. One row per workflow."""

    def find(self, workflow_id: str) -> Workflow | None:
        """The workflow, if it was looked up before."""
        found = self._database.read(f"SELECT {rows.WORKFLOW} FROM bridge.workflows WHERE id = %s", (workflow_id,))
        return Workflow(*found[0]) if found else None

    def remember(self, workflows: Sequence[Workflow]) -> None:
        """Stores what was looked up, for as long as a task of the workflow is kept."""
        by_id = {workflow.id: workflow for workflow in sorted(workflows, key=lambda workflow: workflow.id)}
        for step in rows.steps(list(map(rows.workflow_row, by_id.values()))):
            with self._database.transaction() as transaction:
                transaction.insert(f"bridge.workflows ({rows.WORKFLOW})", step, _KEEP_LAST)
