"""Jobs run at their intervals, whatever the wall clock says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from testkit import PATIENCE
from testkit.wall_clock import WallClock
from worker import intervals
from worker.intervals import Every, Intervals


class Clock:
    """A machine's clock, and a scheduler that has jobs but waits for nothing."""

    def __init__(self) -> None:
        self.time = datetime.now(timezone.utc)
        self.scheduler = BackgroundScheduler(timezone=timezone.utc)
        self.intervals = Intervals(self.scheduler, self)
        for seconds in (10, 60):
            self.intervals.every(seconds, str(seconds), lambda: None)
        self.scheduler.start(paused=True)
        for seconds in (10, 60):
            self.scheduler.get_job(str(seconds)).modify(next_run_time=self.time + timedelta(seconds=seconds))

    def now(self, tz: tzinfo | None = None) -> datetime:
        return self.time

    def set(self, ahead: float) -> None:
        self.time += timedelta(seconds=ahead)
        self.intervals.look()

    def due(self) -> dict[str, float]:
        """Job → in how many seconds."""
        return {job.id: (job.next_run_time - self.time).total_seconds() for job in self.scheduler.get_jobs()}


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    yield clock
    clock.scheduler.shutdown()


@pytest.mark.parametrize("back", [60, 86_400])
def test_what_would_wait_for_longer_than_its_interval_is_due_at_once(clock: Clock, back: int) -> None:
    clock.set(-back)
    assert clock.due() == {"10": 0, "60": 0}


def test_a_job_waits_no_longer_than_its_interval_after_a_small_step_back(clock: Clock) -> None:
    clock.set(5)
    assert clock.due() == {"10": 5, "60": 55}
    clock.set(-5)
    assert clock.due() == {"10": 10, "60": 60}
    clock.set(-0.5)
    assert clock.due() == {"10": 0, "60": 0}


def test_a_clock_that_only_goes_on_changes_no_run(clock: Clock) -> None:
    clock.set(9)
    clock.set(3600)
    assert clock.due() == {"10": -3599, "60": -3549}, "the scheduler's to run"


def test_the_clock_is_watched_on_after_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_LOOK_EVERY", 0.01)
    asked: list[datetime] = []
    again = threading.Event()

    class Broken:
        def now(self, tz: tzinfo | None = None) -> datetime:
            asked.append(datetime.now(timezone.utc))
            if len(asked) == 1:
                raise RuntimeError("a bug")
            again.set()
            return asked[-1]

    watched = Intervals(clock=Broken())
    watched.every(60, "job", lambda: None)
    watched.start()
    try:
        assert again.wait(PATIENCE)
    finally:
        watched.stop()


@pytest.mark.parametrize("late", [timedelta(), timedelta(seconds=1), timedelta(days=36_500)])
def test_runs_that_were_missed_are_one_however_many_they_are(late: timedelta) -> None:
    now = datetime.now(timezone.utc)
    assert Every(0.2).get_next_fire_time(now - late, now) == now + timedelta(seconds=0.2)


def test_a_job_that_a_frozen_process_missed_runs_as_soon_as_it_wakes_and_once() -> None:
    scheduler = BackgroundScheduler(timezone=timezone.utc)
    intervals = Intervals(scheduler)
    runs = threading.Semaphore(0)
    intervals.every(3600, "job", runs.release)
    intervals.start()
    job = scheduler.get_job("job")
    job.modify(next_run_time=datetime.now(timezone.utc) - timedelta(hours=10))
    assert runs.acquire(timeout=PATIENCE)
    intervals.stop()
    assert not runs.acquire(blocking=False)
    assert job.next_run_time > datetime.now(timezone.utc)


def test_no_job_waits_for_another() -> None:
    intervals = Intervals()
    together = threading.Barrier(21)

    def job() -> None:
        with suppress(threading.BrokenBarrierError):
            together.wait()

    for number in range(20):
        intervals.every(0.01, str(number), job)
    intervals.start()
    together.wait(PATIENCE)
    intervals.stop()
    together.abort()


def test_nothing_is_begun_after_the_stop() -> None:
    scheduler = BackgroundScheduler(timezone=timezone.utc)
    intervals = Intervals(scheduler)
    intervals.stop()  # before it began
    intervals.every(3600, "job", lambda: None)
    intervals.start()
    intervals.stop()
    assert not scheduler.running
    assert scheduler.get_jobs() == []


_PRINTS = """
import sys, time
from config.logs import configure_logging
from worker.intervals import Intervals
configure_logging(None, "test")
intervals = Intervals()
intervals.every(0.02, "print", lambda: print(int(time.time()), flush=True))
intervals.start()
sys.stdin.read()
intervals.stop()
"""


@pytest.mark.skipif(not WallClock.is_possible(), reason="needs Linux and a C compiler")
@pytest.mark.parametrize("ahead", [-86_400, 86_400])
def test_a_wall_clock_that_is_set_stops_no_job(tmp_path: Path, ahead: int) -> None:
    clock = WallClock(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", _PRINTS],
        env={**os.environ, **clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        given_up = threading.Timer(60, process.kill)
        given_up.start()
        try:
            assert abs(int(process.stdout.readline()) - time.time()) < 3600
            clock.set(ahead)
            seen = 0
            while seen < 3:  # the first of them may be of a run that was due before
                line = process.stdout.readline()
                assert line, "the job stood still"
                seen += abs(int(line) - time.time() - ahead) < 3600
        finally:
            given_up.cancel()
            process.stdin.close()
