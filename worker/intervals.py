"""Runs jobs at intervals with APScheduler, and keeps to the intervals when the wall clock is changed.

APScheduler uses the wall clock, and no other. If it is set back by an hour, nothing would run for an hour; if it is set
forward by years, APScheduler would list every missed run until memory is full.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Protocol

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from config.process import WakeUp

log = structlog.get_logger()

_LOOK_EVERY = 0.5
"""Seconds. A term must outlast them and two intervals of its heartbeat."""


class WallClock(Protocol):
    """Can be set, as `datetime` can."""

    def now(self, tz: tzinfo | None = None) -> datetime:
        """The time."""


class Every(BaseTrigger):  # type: ignore[misc]
    """Due again this many seconds after it was found due: missed runs count as one."""

    def __init__(self, seconds: float):
        self.interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Always after `now`."""
        return now + self.interval


class Intervals:
    """Jobs, each with its interval. A job never overlaps itself, and none waits for another."""

    def __init__(self, scheduler: BackgroundScheduler | None = None, clock: WallClock = datetime):
        """`clock` is the one that the scheduler uses."""
        self._scheduler = scheduler or BackgroundScheduler(timezone=timezone.utc)
        self._clock = clock
        self._jobs = 0
        self._stop = WakeUp()
        self._watch = threading.Thread(target=self._watch_clock, name="clock", daemon=True)

    def every(self, seconds: float, name: str, job: Callable[[], object]) -> None:
        """Adds a job, before the start. It first runs after this many seconds, which must be more than 0."""
        self._scheduler.add_job(job, Every(seconds), id=name, misfire_grace_time=None, coalesce=True, max_instances=1)
        self._jobs += 1

    def start(self) -> None:
        """Begins."""
        # A thread for each job, since the heartbeat mustn't wait for a search.
        self._scheduler.add_executor(ThreadPoolExecutor(self._jobs, {"thread_name_prefix": "job"}))
        self._scheduler.start()
        self._watch.start()

    def stop(self) -> None:
        """Starts no more runs, and doesn't wait for those in progress."""
        self._stop.ring()
        if self._scheduler.running:
            self._watch.join()
            self._scheduler.shutdown(wait=False)

    def look(self) -> None:
        """Runs each job now whose next run is further away than its interval: the clock was set back."""
        # Read the clock last. Read earlier, it would be behind a run that was scheduled meanwhile.
        due = [(job, job.next_run_time) for job in self._scheduler.get_jobs()]
        now = self._clock.now(timezone.utc)
        late = [job for job, at in due if at - now > job.trigger.interval]
        for job in late:
            job.modify(next_run_time=now)  # wakes the scheduler, which on Python 3.10 waits by the wall clock too
        if late:
            log.warning("the machine's clock was set back; running the jobs that would have waited", jobs=len(late))

    def _watch_clock(self) -> None:
        while not self._stop.wait(_LOOK_EVERY):  # by the monotonic clock, on every Python
            try:
                self.look()
            except Exception:  # without this thread a clock that is set back would stop all jobs
                log.exception("looking for jobs that the clock holds up failed unexpectedly")
