"""Reads running workflows beside the index, and sees which waiting tasks that doesn't know.

A Conductor that is killed after it has stored that a task was polled, and before it has told its index, leaves a task
that no queue hands out and no search ever finds (measured). Its workflow knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from store.records import Task
from worker.discovery.index import LAG, Index

AT_A_TIME = 500
"""Workflows that are read in one step."""


class Reconciliation:
    """One round at a time through all running workflows of the receivers, in steps. For one thread."""

    def __init__(
        self,
        index: Index,
        occupied: Callable[[], Collection[str]],
        found: Callable[[list[Task]], None],
        missed: Callable[[int, int], None],
    ):
        """`occupied` are the ids of workflows that have a task which is known to wait: they are read last. `found` is
        given tasks that are not known. `missed` is told at the end of a round how many of the waiting tasks are not in
        the index though it has had time, and how many there are."""
        self._index = index
        self._occupied = occupied
        self._found = found
        self._missed = missed
        self._ahead: list[str] = []
        self._shown: set[str] = set()
        self._seen: set[str] = set()
        self._unindexed: set[str] = set()
        self._before = 0
        self._under_way = False

    def begin(self, shown: set[str], now: int) -> None:
        """Begins a round. `shown` are the ids of all tasks that the index has just shown; `now` is the server's time
        in milliseconds before that. Raises ConductorError."""
        occupied = set(self._occupied())
        self._ahead = sorted(self._index.running(), key=occupied.__contains__)
        self._shown, self._before = set(shown), now - LAG
        self._seen, self._unindexed = set(), set()
        self._under_way = True

    def step(self, shown: set[str]) -> None:
        """Reads the next workflows. `shown` are the ids of the tasks that the index has shown since the last step.

        Raises ConductorError; the next step then reads them again.
        """
        if not self._under_way:
            return
        self._shown |= shown
        for tasks in self._index.waiting_in(self._ahead[:AT_A_TIME]):
            if unknown := [task for task, _ in tasks if not self._index.knows(task.id)]:
                self._found(unknown)
            self._seen |= {task.id for task, _ in tasks}
            self._unindexed |= {task.id for task, at in tasks if at < self._before and task.id not in self._shown}
        del self._ahead[:AT_A_TIME]
        if not self._ahead:
            self._missed(len(self._unindexed), len(self._seen))
            self.end()

    def end(self) -> None:
        """Ends the round, if there is one."""
        self._under_way = False
        self._ahead.clear()
        self._shown, self._seen, self._unindexed = set(), set(), set()
