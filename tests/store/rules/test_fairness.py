"""Webhooks take turns; a pace lets no more calls through than it says, and as many over time."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from store.rules.fairness import Turns, allowed_by_pace, next_by_pace


def test_the_first_call_may_be_made_at_once() -> None:
    assert allowed_by_pace(1.0, 0.0, 5_000.0) == 1


def test_a_slow_pace_lets_one_call_through_at_a_time() -> None:
    next_at = next_by_pace(1, 2.0, 0.0, 10_000.0)
    assert allowed_by_pace(2.0, next_at, 10_100.0) == 0
    assert allowed_by_pace(2.0, next_at, 10_500.0) == 1


@given(
    rate=st.floats(0.01, 5_000),
    pauses=st.lists(st.integers(0, 400), min_size=1, max_size=60),
    greed=st.integers(1, 50),
)
def test_no_second_has_more_calls_than_the_pace_and_what_one_look_makes_good(
    rate: float, pauses: list[int], greed: int
) -> None:
    next_at, now = 0.0, 1_000_000.0
    made: list[float] = []
    for pause in pauses:
        now += pause
        calls = min(greed, allowed_by_pace(rate, next_at, now))
        if calls:
            next_at = next_by_pace(calls, rate, next_at, now)
        made += [now] * calls
    for begin in made:
        in_a_second = sum(begin <= at < begin + 1000 for at in made)
        assert in_a_second <= max(rate * 1.05, rate + 1)


@given(rate=st.floats(1, 1_000))
def test_a_look_at_each_moment_reaches_the_pace(rate: float) -> None:
    next_at, made = 0.0, 0
    for now in range(10_000, 20_000, 5):
        calls = allowed_by_pace(rate, next_at, now)
        next_at = next_by_pace(calls, rate, next_at, now) if calls else next_at
        made += calls
    assert made >= rate * 9


@given(
    room=st.integers(0, 40),
    webhooks=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=12),
)
def test_a_round_gives_away_all_room_that_can_be_used_and_nobody_more_than_may_be(
    room: int, webhooks: list[tuple[int, int]]
) -> None:
    due = {f"w{number}": is_due for number, (is_due, _) in enumerate(webhooks)}
    most = {f"w{number}": may for number, (_, may) in enumerate(webhooks)}
    turns = Turns(room, most)
    while shares := turns.next_shares():
        assert sum(shares.values()) <= room - turns.served.total()
        claimed = {
            name: min(share, due[name] - turns.served[name]) for name, share in shares.items()
        }
        turns.note(shares, Counter(claimed))
    usable = {name: min(due[name], most[name]) for name in most}
    assert turns.served.total() == min(room, sum(usable.values()))
    assert all(turns.served[name] <= usable[name] for name in usable)
    if room >= len(most):
        assert all(turns.served[name] for name in usable if usable[name])
