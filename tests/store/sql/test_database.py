"""How long the steps of a process may wait for its database."""

from __future__ import annotations

import time

from store.sql.database import WaitLimits


def test_a_step_has_its_own_time_or_that_of_whoever_waits_for_it() -> None:
    limits, now = WaitLimits(), time.monotonic()
    assert now + 2.5 <= limits.until(2.5) < time.monotonic() + 10
    assert limits.until(2.5, now + 1) == now + 1
    assert limits.until(2.5, now + 60) < time.monotonic() + 10
    assert limits.is_over(now)
    assert not limits.is_over(now + 60)


def test_in_a_process_that_ends_steps_are_short_and_none_goes_beyond_its_end() -> None:
    limits, now = WaitLimits(), time.monotonic()
    limits.end_in(60)
    assert limits.until(30) < time.monotonic() + 10
    limits.end_in(0)
    limits.end_in(60)
    assert limits.until(30) < time.monotonic() + 1
    assert limits.is_over(now + 60)
