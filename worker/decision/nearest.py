"""The tasks that came nearest to an event that none takes, for people who wonder why."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

from store.processes import WorkerStore
from store.records import Task
from worker.decision.verdict import Differs, Offer, verdict

_NEAREST = 3
_LOOKED_AT = 100
"""Tasks of a workflow that are compared with an event."""
_EVENTS = 50
"""Events of a round for which tasks are looked at: the first ones, as reading takes time."""


class Near(NamedTuple):
    """A task that came near to taking an event."""

    task: Task
    differs_in: str | None
    """The first path at which the event has something else; None if all criteria hold, and
    something else was in the way."""

    def __str__(self) -> str:
        """Without a value: the log must not have anything of a payload."""
        task, what = self.task, "matches"
        if self.differs_in is not None:
            what = f"differs in {self.differs_in}"
        return f"{task.reference_name} of {task.workflow} ({task.workflow_id}) {what}"


class Nearest:
    """Looks for them in one round, in which each workflow's tasks are read once."""

    def __init__(self, store: WorkerStore):
        self._store = store
        self._tasks: dict[str, list[Task]] = {}
        self._left = _EVENTS

    def to(self, offer: Offer) -> list[Near]:
        """The nearest ones. Raises StoreUnavailable."""
        if self._left <= 0:
            return []
        self._left -= 1
        ranked = heapq.nlargest(_NEAREST, self._ranked(offer), key=itemgetter(0))
        return [near for _, near in ranked]

    def _ranked(self, offer: Offer) -> Iterator[tuple[float, Near]]:
        for task in self._of(offer.receivers):
            match verdict(offer, task, None):
                case Differs(path):
                    yield _share_before(path, task), Near(task, path)
                case _:
                    yield 1.0, Near(task, None)

    def _of(self, workflows: Iterable[str]) -> Iterator[Task]:
        for workflow in workflows:
            if workflow not in self._tasks:
                found = self._store.joins.some_waiting(workflow, _LOOKED_AT)
                self._tasks[workflow] = [task for task in found if task.shape is not None]
            yield from self._tasks[workflow]


def _share_before(path: str, task: Task) -> float:
    """The share of the task's criteria that hold before the first that doesn't."""
    paths = sorted(task.matches)
    return paths.index(path) / len(paths)
