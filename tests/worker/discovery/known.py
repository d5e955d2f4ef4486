"""The tasks that are known to wait, as a test says."""

from __future__ import annotations


class Known(dict[str, str]):
    """Implements `worker.discovery.discovery.Known`: task id → workflow id."""

    def ids(self) -> list[str]:
        return list(self)

    def workflow_ids(self) -> set[str]:
        return set(self.values())

    def add(self, *task_ids: str) -> None:
        """They wait, in workflows of which nothing is known."""
        self.update(dict.fromkeys(task_ids, ""))
