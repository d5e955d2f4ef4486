"""The waiting tasks, found for an event at a cost that doesn't grow with their number.

Tasks are grouped by workflow and by their set of paths, and within a group by what they expect there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod
from typing import Any, NamedTuple

import structlog

from criteria.equality import Key, comparison_key
from criteria.jsonpath import Select
from criteria.matches import BadMatches, Criteria
from store.records import Task

log = structlog.get_logger()


class WaitingTask:
    """What matching needs to know about a waiting task."""

    __slots__ = (
        "criteria",
        "id",
        "iteration",
        "reference_name",
        "response_timeout",
        "scheduled_at",
        "workflow",
        "workflow_id",
    )

    def __init__(self, task: Task, criteria: Criteria | None):
        self.id = task.id
        self.workflow_id = task.workflow_id
        # Very many tasks share the same few names.
        self.workflow = sys.intern(task.workflow)
        self.reference_name = sys.intern(task.reference_name)
        self.iteration = task.iteration
        self.scheduled_at = task.scheduled_at
        self.response_timeout = task.response_timeout
        self.criteria = criteria
        """None if the task's matches can't be parsed."""


def parse_task(task: Task) -> tuple[WaitingTask, str | None]:
    """The task for the index, and why its matches can't be parsed (None if they can)."""
    try:
        return WaitingTask(task, Criteria.parse(task.matches)), None
    except BadMatches as error:
        return WaitingTask(task, None), str(error)
    except Exception as error:  # whatever the error, only this task is affected
        return WaitingTask(task, None), f"{type(error).__name__}: {error}"


class Document:
    """An event's payload; the keys at each path are computed once."""

    __slots__ = ("_keys", "value")

    def __init__(self, value: Mapping[str, Any]):
        self.value = value
        self._keys: dict[str, frozenset[Key]] = {}

    def keys(self, path: str, select: Select) -> frozenset[Key]:
        """The comparison keys of what the path selects, without null, which equals nothing."""
        keys = self._keys.get(path)
        if keys is None:
            try:
                keys = frozenset(map(comparison_key, select(self.value))) - {None}
            except Exception as error:  # one task's path must not hold up the event or other tasks
                log.error("a path can't be evaluated: it selects nothing", path=path, error=str(error))
                keys = frozenset()
            self._keys[path] = keys
        return keys


class _Group(NamedTuple):
    """A workflow's tasks with the same set of paths."""

    selects: tuple[Select, ...]
    by_keys: dict[tuple[Key, ...], dict[str, WaitingTask]]
    """What is expected at each path → task id → task."""


class TaskIndex:
    """The waiting tasks."""

    def __init__(self) -> None:
        self._tasks: dict[str, WaitingTask] = {}
        self._groups: dict[str, dict[tuple[str, ...], _Group]] = {}
        """workflow → paths → its tasks."""

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._tasks

    def __iter__(self) -> Iterator[WaitingTask]:
        return iter(self._tasks.values())

    def get(self, task_id: str) -> WaitingTask | None:
        """The task, if it is waiting."""
        return self._tasks.get(task_id)

    def ids(self) -> list[str]:
        """The ids of all tasks. Other threads may call this."""
        return list(self._tasks)

    def workflow_ids(self) -> set[str]:
        """The workflows of all tasks. Other threads may call this."""
        return {task.workflow_id for task in list(self._tasks.values())}

    def add(self, task: WaitingTask) -> None:
        """Adds a task, or replaces it."""
        self.remove(task.id)
        self._tasks[task.id] = task
        criteria = task.criteria
        if criteria is not None and None not in criteria.keys:  # else it matches nothing: broken, or an expected null
            groups = self._groups.setdefault(task.workflow, {})
            group = groups.setdefault(criteria.paths, _Group(criteria.selects, {}))
            group.by_keys.setdefault(criteria.keys, {})[task.id] = task

    def remove(self, task_id: str) -> WaitingTask | None:
        """Removes the task; returns it if it was there."""
        task = self._tasks.pop(task_id, None)
        if task is not None and task.criteria is not None and None not in task.criteria.keys:
            groups = self._groups[task.workflow]
            by_keys = groups[task.criteria.paths].by_keys
            del by_keys[task.criteria.keys][task_id]
            if not by_keys[task.criteria.keys]:
                del by_keys[task.criteria.keys]
            if not by_keys:
                del groups[task.criteria.paths]
            if not groups:
                del self._groups[task.workflow]
        return task

    def matching(self, document: Document, workflows: Iterable[str]) -> list[WaitingTask]:
        """The tasks of these workflows whose criteria hold, earliest scheduled first."""
        found: list[WaitingTask] = []
        for workflow in workflows:
            for paths, (selects, by_keys) in self._groups.get(workflow, {}).items():
                keys = [document.keys(path, select) for path, select in zip(paths, selects, strict=True)]
                if prod(map(len, keys)) <= len(by_keys):
                    fitting = [each for each in product(*keys) if each in by_keys]
                else:
                    fitting = [each for each in by_keys if all(map(frozenset.__contains__, keys, each))]
                for each in fitting:
                    found += by_keys[each].values()
        found.sort(key=lambda task: (task.scheduled_at, task.id))
        return found
