"""Jobs run at their intervals, whatever the wall clock says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.bell import Bell
from testkit.wall_clock import WallClock
from worker.intervals import Intervals, next_run


@pytest.mark.parametrize(
    ("now", "expected"),
    [(10.0, 15.0), (10.1, 15.0), (14.9, 15.0), (15.0, 20.0), (31.0, 35.0), (10_000.0, 10_005.0)],
)
def test_a_job_is_due_next_at_the_first_of_its_times_that_is_to_come(now: float, expected: float) -> None:
    assert next_run(10.0, 5.0, now) == expected


class Time(Bell):
    """A clock that goes on when it is waited for; rung after a number of waits."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.now = 100.0
        self.left = waits

    def wait(self, seconds: float) -> bool:
        self.now += max(0.0, seconds)
        self.left -= 1
        return self.left < 0

    def clock(self) -> float:
        return self.now


def test_a_job_runs_at_its_times_and_skips_those_that_its_own_run_took() -> None:
    time = Time(5)
    ran: list[float] = []

    def job() -> None:
        ran.append(time.now)
        if len(ran) == 2:
            time.now += 23  # longer than its interval, or a frozen process

    Intervals(time.clock, time).run(10, job)
    assert ran == [110, 120, 150, 160, 170]
    time.close()


def test_a_job_that_a_frozen_process_missed_runs_as_soon_as_it_wakes_and_once() -> None:
    time = Time(4)
    ran: list[float] = []
    wait = time.wait

    def frozen(seconds: float) -> bool:
        rung = wait(seconds)
        if time.left == 2:
            time.now += 3600
        return rung

    time.wait = frozen  # type: ignore[method-assign]
    Intervals(time.clock, time).run(10, lambda: ran.append(time.now))
    assert ran == [110, 3720, 3730, 3740]
    time.close()


def test_nothing_is_begun_after_the_stop() -> None:
    intervals = Intervals()
    ran: list[int] = []
    intervals.every(0.0, "job", lambda: ran.append(1))
    intervals.stop()
    intervals.run(0.0, lambda: ran.append(1))
    assert ran == []


_PRINTS = """
import sys, time
from worker.intervals import Intervals
intervals = Intervals()
intervals.every(0.02, "print", lambda: print(int(time.time()), flush=True))
intervals.start()
sys.stdin.read()
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
        assert abs(int(process.stdout.readline()) - time.time()) < 3600
        clock.set(ahead)
        while abs(int(process.stdout.readline()) - time.time() - ahead) > 3600:
            pass  # a job that stood still would end this test by its time-out
        process.stdin.close()
