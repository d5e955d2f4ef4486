"""Lines that strangers could cause are logged once a second."""

from __future__ import annotations

from relay.log_throttle import LogThrottle


def test_a_line_comes_once_a_second_and_says_how_many_were_left_out() -> None:
    now = 10.0
    seldom = LogThrottle(lambda: now)
    assert [seldom("a") for _ in range(1000)] == [0] + [None] * 999
    assert seldom("b") == 0
    now += 1
    assert [seldom("a") for _ in range(3)] == [999, None, None]
    now += 5
    assert seldom("a") == 2
