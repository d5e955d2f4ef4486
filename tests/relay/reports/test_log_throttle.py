"""Lines that strangers could cause are logged once a second."""

from __future__ import annotations

from relay.reports.log_throttle import LogThrottle
from tests.worker.clock import Clock


def test_a_line_comes_once_a_second_and_says_how_many_were_left_out() -> None:
    clock = Clock(10.0)
    throttle = LogThrottle(clock)
    assert [throttle.left_out("a") for _ in range(1000)] == [0] + [None] * 999
    assert throttle.left_out("b") == 0
    clock.seconds += 1
    assert [throttle.left_out("a") for _ in range(3)] == [999, None, None]
    clock.seconds += 5
    assert throttle.left_out("a") == 2
