"""The tasks that are known to wait, as a test says."""

from __future__ import annotations


class Known(dict[str, str]):
    """Implements `worker.discovery.discovery.Known`: task id → workflow id."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}
        """When tasks were seen waiting, if not long ago."""

    def ids(self) -> list[str]:
        return list(self)

    def workflow_ids(self) -> set[str]:
        return set(self.values())

    def seen_by(self, moment: int) -> list[str]:
        return [task_id for task_id in self if self.seen.get(task_id, 0) <= moment]

    def add(self, *task_ids: str) -> None:
        """They wait, in workflows of which nothing is known."""
        self.update(dict.fromkeys(task_ids, ""))
