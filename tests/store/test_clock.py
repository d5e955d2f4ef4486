"""The clocks' offset: bounded by each answer, and never believed beyond what the answers say."""

from __future__ import annotations

import pytest
from hypothesis import given
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
