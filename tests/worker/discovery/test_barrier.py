"""No event misses a task except as delivery rule 4 allows, and none waits for ever: in random mixtures of all faults.

`barrier_world` judges; that it notices a broken barrier is shown too.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.examples import at_most, examples
from tests.worker.clock import Clock
from tests.worker.discovery.barrier_world import Faults, World, drawn
from worker.discovery.barrier import ALONE_FOR, LAG, LATE, LONG_WAIT, WAIT, Barrier


@examples
@pytest.mark.slow
@settings(max_examples=at_most(15), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32))
def test_no_event_misses_a_task_but_as_it_may_and_none_waits_for_ever(seed: int) -> None:
    world = World(seed, drawn(seed)).run()
    assert not [event for event in world.events if world.is_open(event)]
    assert not {why: number for why, number in world.missed().items() if why.isupper()}, world.f


def late_is_early(barrier: Barrier, sent: float) -> None:
    with mock.patch("worker.discovery.barrier.LATE", 0.0):
        POLL_LOST(barrier, sent)


def nothing(*_: Any) -> None:
    pass


POLL_LOST = Barrier.poll_lost


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "broken", "faults"),
    [
        ("poll_lost", nothing, Faults(every=0.3, lost=0.05, lag=1.9)),
        ("poll_lost", late_is_early, Faults(every=0.3, lost=0.05, late=1.0, lag=0.0)),
        ("term_began", nothing, Faults(every=0.3, dies=(10, 20, 30, 40, 50), lag=1.9)),
        ("found_alone", nothing, Faults(every=0.3, system=0.5, lag=0.0)),
        ("unread", nothing, Faults(every=0.3, unread=0.5, unread_for=0.5)),
    ],
)
def test_a_broken_barrier_misses_tasks(method: str, broken: Any, faults: Faults) -> None:
    def missed() -> int:
        worlds = (World(seed, faults).run() for seed in range(4))
        return sum(number for world in worlds for why, number in world.missed().items() if why.isupper())

    with mock.patch.object(Barrier, method, broken):
        assert missed()
    assert not missed()


# --- one by one ---


@pytest.fixture
def barrier() -> Barrier:
    return Barrier(Clock())


def at(barrier: Barrier, seconds: float) -> Barrier:
    """The barrier, when it is that late."""
    barrier.clock.seconds = seconds  # type: ignore[attr-defined]
    return barrier


def scan(barrier: Barrier, seconds: float, look: bool = True) -> int:
    """A scan at that time, with a look or without; returns when it began."""
    at(barrier, seconds).drained(int(seconds * 1000))
    if look:
        at(barrier, seconds + 0.1).looked(seconds + 0.1)
    return int(seconds * 1000)


def test_without_doubt_an_event_waits_for_one_drain(barrier: Barrier) -> None:
    assert not barrier.knows(1000, ["flow"])
    scan(barrier, 2, look=False)
    assert barrier.knows(1000, ["flow"], has_taker=False)
    assert (barrier.holds_up_to(), barrier.look_due_in(), barrier.settled) == (2000, float("inf"), True)


def test_after_a_term_that_was_resigned_one_look_is_enough_and_after_another_it_comes_later(barrier: Barrier) -> None:
    at(barrier, 10).term_began()
    scan(barrier, 11, look=False)
    assert (barrier.knows(10_500, ["flow"]), barrier.settled) == (False, True)
    at(barrier, 11.1).looked(11)
    assert barrier.knows(10_500, ["flow"])
    at(barrier, 20).term_began(died_at=19)
    scan(barrier, 20.5)
    assert (barrier.knows(20_000, ["flow"]), barrier.settled) == (False, False)
    at(barrier, 23).looked(22.9)
    assert (barrier.knows(20_000, ["flow"]), barrier.settled) == (True, True)


def test_for_a_while_after_a_lost_poll_looks_come_a_moment_after_each_drain(barrier: Barrier) -> None:
    at(barrier, 10).poll_lost(9)
    scan(barrier, 11)
    assert not barrier.knows(10_000, ["flow"])
    assert barrier.clock.monotonic() + barrier.look_due_in() == pytest.approx(11 + LAG)
    at(barrier, 14).looked(13.5)
    assert barrier.knows(10_000, ["flow"])
    assert barrier.settled
    scan(barrier, 12 + LATE, look=False)
    at(barrier, 12 + LATE + LAG).looked(12 + LATE + LAG)
    scan(barrier, 20 + LATE, look=False)
    assert barrier.knows(15_000 + int(LATE * 1000), ["flow"])
    assert barrier.look_due_in() == float("inf")


def test_once_the_index_alone_has_found_a_task_each_drain_is_followed_by_a_look_for_a_day(barrier: Barrier) -> None:
    barrier.found_alone(0)
    for seconds in (5.0, ALONE_FOR - 5):
        began = scan(barrier, seconds, look=False)
        assert (barrier.knows(began, ["flow"]), barrier.needs_index) == (False, True)
        assert barrier.look_due_in() == 0
        at(barrier, seconds + 1).looked(seconds + 1)
        assert barrier.knows(began, ["flow"])
    began = scan(barrier, ALONE_FOR + 5, look=True)
    scan(barrier, ALONE_FOR + 6, look=False)
    assert (barrier.knows(began, ["flow"]), barrier.needs_index) == (True, False)


def test_what_an_unreadable_task_holds_up(barrier: Barrier) -> None:
    scan(barrier, 5)
    at(barrier, 6).unread({"t1": (6.0, "flow")})
    began = scan(barrier, 7)
    assert [barrier.knows(began, [workflow]) for workflow in ("flow", "other")] == [False, True]
    assert not barrier.holds_up_to()
    barrier.unread({"t1": (6.0, "flow"), "t2": (6.0, "")})
    assert not barrier.knows(began, ["other"]), "it may be of any workflow"
    assert at(barrier, 6 + WAIT).knows(began, ["flow"])
    barrier.unread({})
    assert at(barrier, 8).knows(began, ["flow"])


def test_while_looks_fail_events_wait_only_so_long_once_in_an_outage(barrier: Barrier) -> None:
    at(barrier, 0).found_alone(0)
    scan(barrier, 5, look=False)
    at(barrier, 6).look_failed()
    assert not barrier.knows(4000, ["flow"])
    assert at(barrier, 5 + WAIT).knows(4000, ["flow"])
    assert not barrier.knows(4000, ["flow"], has_taker=False)
    began = scan(barrier, 6 + WAIT, look=False)
    barrier.look_failed()
    assert barrier.knows(began, ["flow"]), "others have waited"
    assert not barrier.holds_up_to()
    scan(barrier, 6 + LONG_WAIT, look=False)
    assert barrier.knows(began, ["flow"], has_taker=False)
    assert barrier.holds_up_to()


def test_lost_polls_again_and_again_keep_no_event_waiting_where_nothing_can_be_searched(barrier: Barrier) -> None:
    """The rules before this one counted failures anew after each."""
    for number in range(100):
        at(barrier, 20 * number).poll_lost(20 * number)
        began = scan(barrier, 20 * number + 1, look=False)
        barrier.look_failed()
        assert barrier.knows(began, ["flow"], has_taker=False) == (number > 1)


def test_drains_of_later_than_a_clock_that_is_set_back_are_forgotten(barrier: Barrier) -> None:
    at(barrier, 1).drained(100_000)
    at(barrier, 2).drained(50_000)
    assert barrier.holds_up_to() == 50_000
    assert barrier.knows(99_000, ["flow"]), "it was read before that drain"


# --- when to look ---


def test_a_look_that_fails_is_tried_again_after_a_while_and_waited_for_longer(barrier: Barrier) -> None:
    barrier.term_began()
    at(barrier, 1).drained(1)
    pauses, waits = [], []
    now = 1.0
    for _ in range(12):
        assert at(barrier, now).look_due_in() == 0
        waits.append(barrier.patience())
        barrier.look_failed()
        assert not barrier.may_look()
        pauses.append(barrier.look_due_in())
        now += pauses[-1]
    assert (0 < pauses[0] < 1, 10 < pauses[-1] < 20) == (True, True)
    assert (waits[:4], waits[-1]) == ([2, 4, 8, 16], 60)
    at(barrier, now).looked(began=now)
    assert (barrier.patience(), barrier.look_due_in()) == (2, float("inf"))


def test_a_look_that_breaks_off_goes_on_soon_however_often(barrier: Barrier) -> None:
    for now in range(20):
        at(barrier, now).look_broke_off()
        assert 0 < barrier.look_due_in() < 1


def test_an_event_without_a_taker_causes_a_look_once_a_second(barrier: Barrier) -> None:
    at(barrier, 0).looked(began=0)
    barrier.want_look()
    assert at(barrier, 0.5).look_due_in() == 0.5
    assert not barrier.may_look()
    assert at(barrier, 1).look_due_in() == 0
    assert barrier.may_look()
    barrier.look_failed()
    assert 0 < barrier.look_due_in() < 1


def test_after_a_look_that_took_long_there_is_none_for_a_while(barrier: Barrier) -> None:
    barrier.found_alone(0)
    at(barrier, 5).looked(began=3, rest=18)
    barrier.want_look()
    at(barrier, 10).drained(10_000)
    assert (barrier.look_due_in(), barrier.may_look()) == (13, False)
    assert (at(barrier, 23).look_due_in(), barrier.may_look()) == (0, True)
