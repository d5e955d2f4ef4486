"""Keeps waiting tasks alive whose definition has a response time-out: silence would time them out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

import structlog

from worker.conductor import Conductor
from worker.errors import ConductorError
from worker.matching import WaitingTask

log = structlog.get_logger()


class TaskTimeouts:
    """Puts off the time-outs of waiting tasks, each twice within its time.

    Conductor reads a task, changes it and writes it back: an extension beside a completion could undo that. So no task
    is given to an event while its time-out is being put off, and none that was given has it put off.
    """

    def __init__(self, conductor: Conductor):
        self._conductor = conductor
        self._next: dict[str, float] = {}
        self._extending: str | None = None
        self._paused: Collection[str] = ()
        self._changed = threading.Condition()

    def extend(self, tasks: Iterable[WaitingTask], waits: Callable[[str], bool]) -> None:
        """Puts off what is due of the tasks, while they still wait: the task with an id `waits`."""
        alive: dict[str, float] = {}
        for task in tasks:
            now = time.monotonic()
            due = self._next.get(task.id, now)
            if due <= now:
                due = now + task.response_timeout / 2
                self._extend(task, waits)
            alive[task.id] = due
        self._next = alive

    def _extend(self, task: WaitingTask, waits: Callable[[str], bool]) -> None:
        with self._changed:
            if task.id in self._paused or not waits(task.id):
                return
            self._extending = task.id
        try:
            self._conductor.extend_lease(task.id, task.workflow_id)
        except ConductorError as error:
            log.warning(
                "a task's time-out wasn't put off", task_id=task.id, workflow_id=task.workflow_id, error=str(error)
            )
        finally:
            with self._changed:
                self._extending = None
                self._changed.notify_all()

    @contextmanager
    def paused(self, task_ids: Collection[str]) -> Iterator[None]:
        """None of these tasks is being extended inside; what doesn't wait any more at the end isn't afterwards."""
        with self._changed:
            self._changed.wait_for(lambda: self._extending not in task_ids)
            self._paused = task_ids
        try:
            yield
        finally:
            with self._changed:
                self._paused = ()

    def finish(self) -> None:
        """Returns when no extension is on its way; to be called when no task `waits` any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._extending is None)
