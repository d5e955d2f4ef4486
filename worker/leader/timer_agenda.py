"""Which tasks' time-outs are extended next: pure, for one thread at a time.

Costs as much as what is due, however many tasks wait.
"""

from __future__ import annotations

import heapq
from itertools import count

from store.records import Task
from worker.leader.task_index import WaitingTask


class Timer:
    """One task's time-out."""

    def __init__(self, task: WaitingTask | Task, due: float, taken: bool = False):
        self.task = task
        self.due = due
        """When it is due to be extended (monotonic clock)."""
        self.taken = taken
        """Whether an event has taken the task."""
        self.failures = 0
        self.running = False
        self.effect_until = float("-inf")
        """Until when an extension with a lost answer may still take effect."""

    @property
    def within(self) -> float:
        """Seconds for one call, so that several tries fit within the time-out."""
        return max(1.0, self.task.response_timeout / 6)


class TimerAgenda:
    """Timers by when they are due; among those that are, the shortest time-outs come first."""

    def __init__(self) -> None:
        self._later: list[tuple[float, int, Timer]] = []
        self._sound: list[tuple[int, int, Timer]] = []
        self._failing: list[tuple[int, int, Timer]] = []
        self._number = count()

    def add(self, timer: Timer) -> None:
        """The timer is due at its time. It must be in no agenda."""
        heapq.heappush(self._later, (timer.due, next(self._number), timer))

    def next(self, now: float, failing: bool) -> Timer | None:
        """Takes out the next timer that is due by then; None if there is none. `failing`: of those whose last extension
        failed, or of the others."""
        while self._later and self._later[0][0] <= now:
            timer = heapq.heappop(self._later)[2]
            into = self._failing if timer.failures else self._sound
            heapq.heappush(into, (timer.task.response_timeout, next(self._number), timer))
        due = self._failing if failing else self._sound
        return heapq.heappop(due)[2] if due else None
