"""The wait before the next try."""

from __future__ import annotations

import random

from worker.conductor.backoff import wait_before


def test_the_wait_doubles_up_to_a_limit() -> None:
    assert [wait_before(attempts, draw=lambda: 0) for attempts in (0, 1, 2, 3, 6, 7, 10_000)] == [
        *(0.25, 0.25, 0.5, 1, 8, 15, 15)
    ]


def test_what_failed_together_does_not_come_back_together() -> None:
    assert wait_before(1, draw=lambda: 1) == 0.5
    assert len({wait_before(3) for _ in range(10)}) > 1


def test_draws_leave_the_random_numbers_of_others_alone() -> None:
    """Else they differ from run to run although they are seeded: hypothesis calls such tests flaky."""
    random.seed(1)
    expected = random.random()
    random.seed(1)
    wait_before(3)
    assert random.random() == expected
