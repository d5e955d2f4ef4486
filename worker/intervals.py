"""Runs jobs at intervals, each on a thread of its own, by the monotonic clock: the wall clock may be set meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from config.bell import Bell


def next_run(due: float, seconds: float, now: float) -> float:
    """When a job is due next that was due at `due` and has ended `now`: the first of its times that is still to come.

    So a job that takes longer than its interval, and one of a process that was frozen, skips the times that it has
    missed.
    """
    missed = max(0.0, now - due) // seconds
    return due + (missed + 1) * seconds


class Intervals:
    """Jobs, each with its interval. No job runs beside itself, and none waits for another."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, stop: Bell | None = None):
        """`stop` is waited for between two runs, which makes no difference to the wall clock as a lock's time-out does
        on older Pythons."""
        self._clock = clock
        self._stop = stop or Bell()
        self._threads: list[threading.Thread] = []

    def every(self, seconds: float, name: str, job: Callable[[], object]) -> None:
        """Adds a job, which must not raise; it runs for the first time when so many seconds have passed."""
        thread = threading.Thread(target=self.run, args=(seconds, job), name=name, daemon=True)
        self._threads.append(thread)

    def start(self) -> None:
        """Begins."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begins no run any more; those under way aren't waited for."""
        self._stop.ring()

    def run(self, seconds: float, job: Callable[[], object]) -> None:
        """One job's thread."""
        due = self._clock() + seconds
        while not self._stop.wait(due - self._clock()):
            job()
            due = next_run(due, seconds, self._clock())
