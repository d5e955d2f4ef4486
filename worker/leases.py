"""Keeps waiting tasks alive whose definition has a response time-out: silence would time them out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import structlog

from worker.conductor import Conductor, ConductorError
from worker.matching import WaitingTask

log = structlog.get_logger()


class Leases:
    """Extends the leases of the receivers' waiting tasks, each three times within its time-out."""

    def __init__(self, conductor: Conductor):
        self._conductor = conductor
        self._next: dict[str, float] = {}
        self._extending: set[str] = set()
        self._done = threading.Condition()

    def extend(self, tasks: Iterable[WaitingTask]) -> None:
        """Extends what is due; raises ConductorError when Conductor is away."""
        now = time.monotonic()
        alive: dict[str, float] = {}
        for task in tasks:
            due = self._next.get(task.id, now)
            if due <= now:
                due = now + task.response_timeout / 3
                self._extend(task)
            alive[task.id] = due
        self._next = alive

    def _extend(self, task: WaitingTask) -> None:
        with self._done:
            self._extending.add(task.id)
        try:
            self._conductor.extend_lease(task.id, task.workflow_id)
        except ConductorError as error:
            log.warning(
                "a task's lease wasn't extended", task_id=task.id, workflow_id=task.workflow_id, error=str(error)
            )
        finally:
            with self._done:
                self._extending.discard(task.id)
                self._done.notify_all()

    def wait(self, task_id: str) -> None:
        """Returns when no extension of this task is under way."""
        with self._done:
            self._done.wait_for(lambda: task_id not in self._extending)
