"""When a waiting task is over: what Conductor's answers about it prove. Pure.

A 404 that names the task's id proves only that whoever answered doesn't know the task. That may be
another server, an empty one, or a backup. So a task is over only if Conductor

- says that it has ended,
- doesn't know it, while its index says that it has ended,
- or hasn't known it several times over minutes, each time while it knew tasks that had been known
  before.

A server that knows none of those is another one: nothing is over then. Times are Unix milliseconds
by the bridge's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from worker.conductor.responses import TaskStatus

_TIMES = 3
"""Answers in a row by the right server that don't know a task, at least, until it is gone."""
_LAST_FOR = 120_000
"""Milliseconds between the first and the last of them, at least."""


class Miss(NamedTuple):
    """The answers in a row by the right server that didn't know a task."""

    since: int
    times: int


def is_gone(miss: Miss, now: int) -> bool:
    """Whether the server has lost a task that it didn't know this often, the last time now."""
    return miss.times >= _TIMES and now - miss.since >= _LAST_FOR


class Missing:
    """The waiting tasks that Conductor doesn't know. For one thread."""

    def __init__(self) -> None:
        self.right_at = 0
        """When the server was last seen to be the right one. Whatever else knows tasks that were
        known by then is the same server."""
        self.tasks: dict[str, Miss] = {}
        """Those that were asked for longest ago come first."""
        self.is_another_server = False
        """Whether the server knows none of the tasks that tell the right one."""

    def judge(
        self,
        began: int,
        answers: Mapping[str, TaskStatus | None],
        is_right: bool,
        ended: Collection[str],
    ) -> list[str]:
        """The tasks that are over, by the answers to calls that began then: a task's status, or
        None for a 404.

        `is_right`: whether the server knows a task that was known by `right_at`; or knows all,
        while no such task waits. `ended`: tasks that have ended according to its index.
        """
        absent = {
            task_id
            for task_id, status in answers.items()
            if status is None and task_id not in ended
        }
        known = {task_id: status for task_id, status in answers.items() if task_id not in absent}
        over = [id_ for id_, status in known.items() if status is None or status.terminal]
        for task_id in known:
            self.tasks.pop(task_id, None)
        self.is_another_server = bool(absent) and not is_right
        if is_right:
            self.right_at = max(self.right_at, began)
        for task_id in sorted(absent):
            since, times = self.tasks.pop(task_id, Miss(began, 0))
            if not times:
                since = began
            miss = Miss(since, times + is_right)
            if is_gone(miss, began):
                over.append(task_id)
            else:
                self.tasks[task_id] = miss
        return over
