"""The tasks that are known to wait, as a test says."""

from __future__ import annotations

from collections.abc import Collection


class Known(dict[str, str]):
    """Implements `store.sql.waiting.WaitingTasks`: task id → workflow id."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}
        """When tasks were seen waiting, if not long ago."""
        self.names: dict[str, str] = {}
        """Task → its workflow's name, if that is asked for."""

    def among(self, task_ids: Collection[str], seen_by: int = 2**62) -> set[str]:
        return {id_ for id_ in task_ids if id_ in self and self.seen.get(id_, 0) <= seen_by}

    def workflows_among(self, workflow_ids: Collection[str]) -> set[str]:
        return set(self.values()) & set(workflow_ids)

    def page(self, after: str, limit: int) -> list[str]:
        return sorted(id_ for id_ in self if id_ > after)[:limit]

    def seen_by(self, moment: int, limit: int, workflow: str | None = None) -> list[str]:
        found = (id_ for id_ in self if workflow in (None, self.names.get(id_)))
        return [id_ for id_ in found if self.seen.get(id_, 0) <= moment][:limit]

    def add(self, *task_ids: str) -> None:
        """They wait, in workflows of which nothing is known."""
        self.update(dict.fromkeys(task_ids, ""))
