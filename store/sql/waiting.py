"""Which tasks wait, as discovery asks: by ids that Conductor shows, and a few at a time."""

from __future__ import annotations

from collections.abc import Collection

from store.records import TaskState
from store.sql import rows
from store.sql.database import Part

# A function of the state: PostgreSQL would look for some tasks among all that wait.
_IS_KNOWN = "coalesce(state, '') IN ('waiting', 'taken')"
_AMONG = f"SELECT id FROM bridge.tasks WHERE id = ANY(%s) AND seen_at <= %s AND {_IS_KNOWN}"
_WORKFLOWS = (
    f"SELECT DISTINCT workflow_id FROM bridge.tasks WHERE workflow_id = ANY(%s) AND {_IS_KNOWN}"
)
_STATES = "SELECT id, state FROM bridge.tasks WHERE id = ANY(%s)"
_PAGE = "SELECT id FROM bridge.tasks WHERE state = 'waiting' AND id > %s ORDER BY id LIMIT %s"
# A sample in the order of an index: ids are as good as random.
_SEEN_BY = """
SELECT id FROM (
    SELECT id, seen_at FROM bridge.tasks WHERE state = 'waiting'{of} ORDER BY id LIMIT 1000
) AS sample WHERE seen_at <= %s ORDER BY seen_at, id LIMIT %s
"""
_SEEN_BY_ANY = _SEEN_BY.format(of="")
_SEEN_BY_OF = _SEEN_BY.format(of=" AND workflow = %s")
_EVER = 2**62


class WaitingTasks(Part):
    """Tasks that wait for an event, or are being completed by one. Nothing is kept in memory."""

    def among(self, task_ids: Collection[str], seen_by: int = _EVER) -> set[str]:
        """Those of the tasks that wait or are taken; if `seen_by` is given, of those that were seen
        waiting by then."""
        found = set[str]()
        for step in rows.steps(sorted(task_ids)):
            found.update(id_ for (id_,) in self._database.read(_AMONG, (list(step), seen_by)))
        return found

    def states(self, task_ids: Collection[str]) -> dict[str, TaskState]:
        """The states of those of these tasks that are known."""
        return dict(self._database.read(_STATES, (sorted(task_ids),)))

    def workflows_among(self, workflow_ids: Collection[str]) -> set[str]:
        """Those of these running workflows of which such a task is known."""
        found = set[str]()
        for step in rows.steps(sorted(workflow_ids)):
            found.update(id_ for (id_,) in self._database.read(_WORKFLOWS, (list(step),)))
        return found

    def page(self, after: str, limit: int) -> list[str]:
        """Waiting tasks, up to `limit` after that id, in order of id."""
        # SQLite reads an id that isn't UTF-8 as a different one: don't return it again and again.
        found = self._database.read(_PAGE, (after, limit))
        return [id_ for (id_,) in found if id_ != after]

    def seen_by(self, moment: int, limit: int, workflow: str | None = None) -> list[str]:
        """Some tasks, of that workflow or of any, that wait and were seen waiting by then, those
        first that wait for the longest. Of very many it looks at a thousand only."""
        if workflow is None:
            found = self._database.read(_SEEN_BY_ANY, (moment, limit))
        else:
            found = self._database.read(_SEEN_BY_OF, (workflow, moment, limit))
        return [id_ for (id_,) in found]
