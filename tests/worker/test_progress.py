"""A worker is stuck when something is overdue and nothing at all moves."""

from __future__ import annotations

import pytest

from worker.progress import STANDSTILL, Progress


class Bench:
    def __init__(self) -> None:
        self.now = 1000.0
        self.progress = Progress(lambda: self.now)
        self.progress.decides()

    def later(self, seconds: float, *overdue: str) -> float:
        """What the progress says after this time, in which it looked every ten seconds."""
        end = self.now + seconds
        while self.now < end:
            self.now += 10
            self.progress.decides()
            self.progress.see(overdue)
        return self.progress.stuck_for


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_is_stuck_when_what_is_overdue_stays_so(bench: Bench) -> None:
    assert bench.later(10, "event 1", "target 2 0") == 0
    assert bench.later(STANDSTILL - 20, "event 1", "target 2 0") == 0
    assert bench.later(10, "event 1", "target 2 0", "event 9") >= STANDSTILL
    assert bench.later(STANDSTILL, "event 1", "target 2 0", "event 9") >= 2 * STANDSTILL - 10


def test_it_is_not_stuck_while_anything_moves(bench: Bench) -> None:
    for number in range(100):
        assert bench.later(30, "event 1", f"target 2 {number}") == 0


def test_it_is_not_stuck_without_anything_overdue(bench: Bench) -> None:
    bench.later(2 * STANDSTILL, "event 1")
    assert bench.later(10) == 0
    assert bench.later(10 * STANDSTILL) == 0
    assert bench.later(STANDSTILL - 10, "event 1") == 0


def test_only_the_worker_that_decides_says_so_or_that_did_a_moment_ago(bench: Bench) -> None:
    assert bench.later(2 * STANDSTILL, "event 1") > 0
    bench.now += STANDSTILL - 1
    assert bench.progress.stuck_for > 0, "its reigns may end as they begin"
    bench.now += 1
    assert bench.progress.stuck_for == 0
