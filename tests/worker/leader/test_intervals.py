"""Jobs run at their intervals, whatever the wall clock says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.wall_clock import WallClock
from tools.servers import PATIENCE
from worker.leader.worker import Intervals, repeat


@pytest.mark.parametrize("late", [0, 1, 3_000_000_000])
def test_runs_that_were_missed_are_one_however_many_they_are(late: float) -> None:
    clock, waits = Clock(), list[float]()
    runs: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        clock.seconds += seconds + (late if len(waits) == 2 else 0)
        return len(waits) > 3

    repeat(5, lambda: runs.append(clock.seconds), wait, clock)
    assert waits == [5, 5, 5, 5]
    assert len(runs) == 3


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
    intervals = Intervals()
    begun = list[str]()
    intervals.every(0.01, "job", lambda: begun.append("job"))
    intervals.stop()
    intervals.start()
    for thread in intervals._threads:
        thread.join(PATIENCE)
    assert begun == []


_PRINTS = """
import sys, time
from config.logs import configure_logging
from worker.leader.worker import Intervals
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
        given_up = threading.Timer(PATIENCE, process.kill)
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
