"""The clocks' offset: bounded by each answer, and never believed beyond what the answers say."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from store.clock import ServerClock, SteadyClock


def test_without_an_answer_the_clocks_are_taken_for_the_same() -> None:
    assert ServerClock().offset == 0
    assert ServerClock().to_local(5) == 5


def test_of_what_an_answer_allows_the_offset_nearest_to_none_is_taken() -> None:
    clock = ServerClock()
    clock.observe(server=1003, sent=1000, received=1006)
    assert clock.offset == 0
    clock.observe(server=5003, sent=2000, received=2001)
    assert clock.offset == 3002


def test_an_answer_during_which_our_clock_was_set_back_says_nothing() -> None:
    clock = ServerClock()
    clock.observe(server=1000, sent=2000, received=1500)
    assert clock.offset == 0


@given(
    offset=st.integers(-(10**7), 10**7),
    answers=st.lists(
        st.tuples(
            st.integers(0, 10**6),
            st.integers(0, 3000),
            st.integers(0, 3000),
            st.sampled_from([0, 2000]),
        ),
        min_size=1,
    ),
)
def test_the_true_offset_is_never_further_away_than_the_best_answer_allows(
    offset: int, answers: list[tuple[int, int, int, int]]
) -> None:
    clock = ServerClock()
    for sent, there, back, precision in answers:
        read = sent + there + offset
        shown = read - read % 1000 if precision else read
        clock.observe(shown, sent, sent + there + back, precision)
    best = min(there + back + precision for _, there, back, precision in answers)
    assert abs(clock.offset - offset) <= best
    assert min(0, offset) <= clock.offset <= max(0, offset)


class Machine:
    """Its two clocks, in seconds."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000.0
        self.boot = 50.0

    def later(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


def test_a_steady_clock_goes_on_evenly_when_the_machines_clock_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine()
    monkeypatch.setattr("time.time", lambda: machine.wall)
    monkeypatch.setattr("store.clock.since_boot", lambda: machine.boot)
    clock = SteadyClock()
    assert clock.now() == 1_700_000_000_000
    machine.later(5)
    machine.wall -= 3600
    assert clock.now() == 1_700_000_005_000
    machine.wall += 7200
    machine.later(1)
    assert clock.now() == 1_700_000_006_000


def test_a_server_whose_clock_is_set_is_followed_at_its_next_answer() -> None:
    clock = ServerClock()
    for ahead in (0, 3_600_000, -3_600_000, 5):
        clock.observe(server=10_000_000 + ahead, sent=10_000_000, received=10_000_002)
        assert clock.to_local(10_000_000 + ahead) - 10_000_000 in (0, 1, 2)


def answer(clock: ServerClock, server: float, ours: float) -> None:
    """One that took two milliseconds."""
    clock.observe(server, sent=ours - 1, received=ours + 1)


def test_times_from_before_our_clock_was_set_forward_compare_as_if_it_had_been_right() -> None:
    clock = ServerClock()
    answer(clock, 10_000, 10_000)
    answer(clock, 20_000, 110_000)
    before, after = 20_000, 110_000
    assert clock.comparable(before) - clock.to_local(20_000) == 0
    assert clock.comparable(after) == after
    assert clock.shown_before(clock.comparable(before)) <= before
    assert clock.shown_before(300_000) == 300_000

    answer(clock, 30_000, 30_000)
    assert clock.comparable(before) - clock.to_local(20_000) == 0


def test_a_time_that_may_be_from_after_a_clock_was_set_is_left_as_it_is() -> None:
    set_forward, set_back, servers_set_back = ServerClock(), ServerClock(), ServerClock()
    answer(set_forward, 100_000, 100_000)
    answer(set_forward, 200_000, 105_000 + 100_000)
    assert set_forward.comparable(105_002) == 105_002
    answer(set_back, 100_000, 100_000)
    answer(set_back, 101_000, 91_000)
    assert [set_back.comparable(ours) for ours in (90_500, 95_000)] == [90_500, 95_000]
    assert set_back.comparable(89_000) - set_back.to_local(89_000) == 0
    answer(servers_set_back, 100_000, 100_000)
    answer(servers_set_back, 11_000, 101_000)
    assert servers_set_back.comparable(101_000) == 101_000

    set_back_during_a_call = ServerClock()
    answer(set_back_during_a_call, 100_000, 100_000)
    set_back_during_a_call.observe(server=112_000, sent=110_000, received=112_000)
    answer(set_back_during_a_call, 116_000, 113_000)
    assert set_back_during_a_call.comparable(108_500) == 108_500


@given(
    steps=st.lists(
        st.tuples(
            st.integers(1, 60),
            st.sampled_from(["ours", "server"]),
            st.sampled_from([-600, -90, -20, -3, 3, 20, 90, 600]),
        ),
        max_size=4,
    ),
    rest=st.integers(1, 60),
)
@example(steps=[(60, "ours", -20), (1, "ours", -3), (60, "ours", 20)], rest=1)
def test_no_time_compares_worse_for_the_offsets_of_then(
    steps: list[tuple[int, Literal["ours", "server"], int]], rest: int
) -> None:
    clock, now = ServerClock(), 10_000_000
    ahead = {"ours": 0, "server": 0}
    shown: list[tuple[int, int]] = []
    for seconds, whose, jump in [*steps, (rest, "ours", 0)]:
        for _ in range(seconds):
            now += 1000
            ours, server = now + ahead["ours"], now + ahead["server"]
            answer(clock, server, ours)
            shown.append((ours + 500, server + 500))
        ahead[whose] += 1000 * jump
    for ours, server in shown:
        by_now = ours + clock.offset
        assert abs(clock.comparable(ours) + clock.offset - server) <= abs(by_now - server) + 4
    for compared, _ in shown:
        before = clock.shown_before(compared)
        assert all(clock.comparable(ours) < compared for ours, _ in shown if ours < before)
