"""What is known of how tasks are found: each state, what leads to it, and what ends it."""

from __future__ import annotations

import pytest

from tests.worker.clock import Clock
from worker.discovery import state as module
from worker.discovery.state import DiscoveryState


@pytest.fixture
def state() -> DiscoveryState:
    return DiscoveryState(Clock())


def at(state: DiscoveryState, seconds: float) -> DiscoveryState:
    """The state, when it is that late."""
    state.clock.seconds = seconds  # type: ignore[attr-defined]
    return state


# --- when to look ---


def test_a_search_that_fails_is_tried_again_after_a_while_and_waited_for_longer(state: DiscoveryState) -> None:
    state.barrier.term_began()
    at(state, 1).barrier.drained(1)
    pauses, waits = [], []
    now = 1.0
    for _ in range(12):
        assert at(state, now).must_search()
        waits.append(state.patience())
        state.search_failed()
        assert not state.must_search()
        assert not state.may_search()
        pauses.append(state.search_due_in())
        now += pauses[-1]
    assert (pauses[0] < 1, 10 < pauses[-1] < 20) == (True, True)
    assert (waits[:4], waits[-1]) == ([2, 4, 8, 16], 60)
    at(state, now).searched(began=now)
    assert (state.failing, state.search_due_in()) == (False, float("inf"))


def test_a_search_that_breaks_off_goes_on_soon_however_often(state: DiscoveryState) -> None:
    for now in range(20):
        at(state, now).search_broke_off()
        assert 0 < state.search_due_in() < 1


def test_an_event_without_a_taker_has_the_index_searched_once_a_second(state: DiscoveryState) -> None:
    at(state, 0).searched(began=0)
    state.want_search()
    assert not at(state, 0.5).must_search()
    assert at(state, 0.5).search_due_in() == 0.5
    assert at(state, 1).must_search()
    at(state, 1).search_failed()
    assert 0 < at(state, 1).search_due_in() < 1


def test_where_all_workflows_must_be_read_searches_take_a_tenth_of_the_time(state: DiscoveryState) -> None:
    state.barrier.found_alone(0)
    at(state, 3).worked("workflows", "404", True, True)
    state.workflows_read(3)
    state.searched(began=0)
    at(state, 32).barrier.drained(1)
    assert (state.must_search(), state.may_search()) == (False, False)
    assert (at(state, 33).must_search(), state.may_search()) == (True, True)


# --- the index ---


def test_the_reason_for_a_way_is_the_last_failure_of_a_better_one(state: DiscoveryState) -> None:
    assert not state.proven
    reasons = []
    for seconds, reason in ((0, "500 a"), (10, ""), (100, "500 a"), (200, "500 b")):
        at(state, seconds).worked("search", reason, True, True)
        reasons.append(state.reason)
    assert state.proven
    assert reasons == ["500 a", "500 a", "500 a", "500 b"]


def test_a_better_way_is_tried_again_once_a_minute(state: DiscoveryState) -> None:
    at(state, 0).worked("search", "500", True, True)
    assert at(state, 59).ways() == ("search", "workflows")
    assert at(state, 60).ways() == ("search-v2", "search", "workflows")
    at(state, 60).worked("search-v2", "", True, True)
    assert at(state, 1e9).ways() == module.WAYS


def test_what_the_index_has_shown_counts_until_it_shows_nothing_at_all(state: DiscoveryState) -> None:
    shown = []
    for everything, any_ in ((True, True), (False, False), (True, False)):
        state.worked("search-v2", "", everything, any_)
        shown.append(state.shown)
    assert shown == ["tasks", "tasks", "nothing"], "nothing new is no sign of anything"


def test_an_index_that_is_off_proves_by_a_task_that_it_is_on_again(state: DiscoveryState) -> None:
    at(state, 0).worked("search-v2", "", True, False)
    at(state, 10).index_is_off()
    assert (state.way, state.shown) == ("workflows", "off")
    assert not state.counts("search-v2", shown=False)
    assert state.counts("workflows", shown=False)
    assert state.counts("search-v2", shown=True)
    at(state, 80).worked("search-v2", "", True, True)
    assert (state.way, state.shown) == ("search-v2", "tasks")


def test_an_empty_index_is_held_against_workflows_now_and_then_or_when_it_must_be(state: DiscoveryState) -> None:
    assert at(state, 0).may_check_empty(must=False)
    assert not at(state, 119).may_check_empty(must=False)
    assert at(state, 119).may_check_empty(must=True)
    assert not at(state, 238).may_check_empty(must=False)
    assert at(state, 239).may_check_empty(must=False)
