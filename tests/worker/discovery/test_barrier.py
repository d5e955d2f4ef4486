"""No event misses a task except as delivery rule 4 allows, and none waits for ever: in random
mixtures of all faults.

`barrier_world` judges; that it notices a broken barrier is shown too.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from tests.support.clock import Clock
from tests.support.examples import at_most, examples
from tests.worker.discovery.barrier_world import Faults, World, drawn
from worker.discovery.barrier import Barrier


@examples
@pytest.mark.slow
@settings(max_examples=at_most(15), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32))
@example(8482583)  # resigns with tasks that it has polled and couldn't read yet
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
        return sum(
            number for world in worlds for why, number in world.missed().items() if why.isupper()
        )

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
    assert (barrier.holds_up_to(), barrier.look_due_in(), barrier.settled) == (
        2000,
        float("inf"),
        True,
    )


def test_drains_of_later_than_a_clock_that_is_set_back_are_forgotten(barrier: Barrier) -> None:
    at(barrier, 1).drained(100_000)
    at(barrier, 2).drained(50_000)
    assert barrier.holds_up_to() == 50_000
    assert barrier.knows(99_000, ["flow"]), "it was read before that drain"


# --- when to look ---


def test_a_look_that_fails_is_tried_again_after_a_while_and_waited_for_longer(
    barrier: Barrier,
) -> None:
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
