"""Jobs run at their intervals, whatever the wall clock says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from tools.servers import PATIENCE
from tools.servers.wall_clock import WallClock
from worker.leader.worker import Every, Intervals


@pytest.mark.parametrize("late", [timedelta(), timedelta(seconds=1), timedelta(days=36_500)])
def test_runs_that_were_missed_are_one_however_many_they_are(late: timedelta) -> None:
    now = datetime.now(timezone.utc)
    assert Every(0.2).get_next_fire_time(now - late, now) == now + timedelta(seconds=0.2)


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
