"""Reads running workflows, and finds which of their waiting tasks the index doesn't know.

A Conductor that is killed after storing that a task was polled, but before updating its index, leaves a task that no
queue hands out and no search ever finds (measured). Only its workflow shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from store.records import Task
from worker.discovery.index import LAG, Index

STEP = 500
"""Workflows that are read in one step."""


@dataclass(frozen=True)
class Outcome:
    """What a reconciliation found."""

    waiting: int
    """Waiting tasks."""
    unindexed: int
    """Waiting tasks that the index doesn't know although it has had time to."""


class Reconciliation:
    """Goes through all running workflows of the receivers, in steps. For one thread."""

    def __init__(self, index: Index, step: int = STEP):
        self._index = index
        self._step = step
        self.outcome: Outcome | None = None
        """The outcome, if the last step completed a reconciliation."""
        self._ahead: list[str] = []
        self._shown: set[str] = set()
        self._seen: set[str] = set()
        self._unindexed: set[str] = set()
        self._before = 0
        self._under_way = False

    def begin(self, shown: set[str], now: int) -> None:
        """Begins a new one. `shown`: the ids of all tasks that the index has just shown; `now`: the server's time just
        before that, in milliseconds. Raises ConductorError."""
        # Workflows without a known waiting task come first: a missed task is more likely there.
        occupied = self._index.known.workflow_ids()
        self._ahead = sorted(self._index.running(), key=occupied.__contains__)
        self._shown, self._before = set(shown), now - LAG
        self._seen, self._unindexed = set(), set()
        self._under_way = True

    def step(self, shown: set[str]) -> Iterator[list[Task]]:
        """Reads the next workflows, and yields their unknown tasks.

        `shown`: the ids of the tasks that the index has shown since the last step. Raises ConductorError; the next step
        then reads the same workflows again.
        """
        self.outcome = None
        if not self._under_way:
            return
        self._shown |= shown
        for tasks in self._index.waiting_in(self._ahead[: self._step]):
            if unknown := [task for task, _ in tasks if task.id not in self._index.known]:
                yield unknown
            self._seen |= {task.id for task, _ in tasks}
            self._unindexed |= {task.id for task, at in tasks if at < self._before and task.id not in self._shown}
        del self._ahead[: self._step]
        if not self._ahead:
            self.outcome = Outcome(len(self._seen), len(self._unindexed))
            self.end()

    def end(self) -> None:
        """Ends it, if one is in progress."""
        self._under_way = False
        self._ahead.clear()
        self._shown, self._seen, self._unindexed = set(), set(), set()
