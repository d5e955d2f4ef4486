"""What is known of how tasks are found: each state, what leads to it, and what ends it."""

from __future__ import annotations

import pytest

from worker.discovery import state as module
from worker.discovery.state import DiscoveryState

DAY = 24 * 3600.0


@pytest.fixture
def state() -> DiscoveryState:
    return DiscoveryState()


# --- what a scan needs ---


def test_at_first_nobody_knows_what_the_worker_before_has_polled(state: DiscoveryState) -> None:
    assert state.need(0) == "unsure"
    assert state.must_search(0)
    assert not state.whole(0)
    state.searched(0)
    assert state.need(0) == "queue"
    assert state.whole(0)
    assert not state.must_search(10)
    assert state.search_due_in(10) == float("inf")


def test_after_a_lost_poll_one_search_makes_sure(state: DiscoveryState) -> None:
    state.searched(0)
    state.poll_lost()
    assert state.need(1) == "unsure"
    state.searched(1)
    assert state.need(1) == "queue"


def test_a_task_that_was_found_by_the_index_alone_has_every_sweep_search(state: DiscoveryState) -> None:
    state.searched(0)
    state.found_alone(5)
    assert state.need(6) == "both"
    assert state.must_search(6)
    state.searched(6)
    assert state.must_search(6)


def test_that_ends_when_the_queue_has_done_alone_for_a_day(state: DiscoveryState) -> None:
    state.searched(0)
    state.found_alone(5)
    state.queued(10)
    assert state.need(5 + DAY) == "both"
    assert state.need(6 + DAY) == "queue"
    state.found_alone(7 + DAY)
    assert state.need(7 + DAY) == "both"


def test_on_a_server_whose_queue_hands_out_nothing_it_never_ends(state: DiscoveryState) -> None:
    state.queued(1)
    state.searched(1)
    state.found_alone(5)
    assert state.need(30 * DAY) == "both"


@pytest.mark.parametrize(("ago", "need"), [(60, "both"), (2 * DAY, "queue"), (-60, "both")])
def test_what_the_worker_before_has_seen_counts_as_long(state: DiscoveryState, ago: float, need: str) -> None:
    state.known_alone(ago, 10 * DAY)
    state.searched(10 * DAY)
    state.queued(10 * DAY)
    assert state.need(10 * DAY) == need


def test_a_search_that_fails_is_tried_again_after_a_while_and_meanwhile_no_sweep_is_whole(
    state: DiscoveryState,
) -> None:
    state.searched(0)
    state.found_alone(0)
    pauses = []
    now = 1.0
    for _ in range(12):
        assert state.must_search(now)
        state.search_failed(now)
        assert not state.whole(now)
        assert not state.must_search(now)
        assert not state.may_search(now)
        pauses.append(state.search_due_in(now))
        now += pauses[-1]
    assert pauses[0] < 1
    assert 10 < pauses[-1] < 20
    state.searched(now)
    assert state.whole(now)
    assert not state.failing


def test_a_search_that_breaks_off_goes_on_soon_however_often_and_no_sweep_is_whole_before_its_end(
    state: DiscoveryState,
) -> None:
    state.searched(0)
    now = 1.0
    state.poll_lost()
    for _ in range(20):
        state.search_broke_off(now)
        assert not state.whole(now)
        assert state.search_due_in(now) < 1
        now += 1
    assert state.must_search(now)
    state.searched(now)
    assert state.whole(now)


def test_where_nothing_was_ever_found_by_the_index_alone_the_queue_must_do_after_a_few_tries(
    state: DiscoveryState,
) -> None:
    now = 0.0
    for _ in range(module.CHANCES):
        assert not state.whole(now)
        assert state.must_search(now)
        state.search_failed(now)
        now += 20
    assert state.need(now) == "queue"
    assert state.whole(now)
    state.poll_lost()
    assert not state.whole(now), "what that poll has lost only the index knows"


def test_a_wanted_search_that_fails_makes_no_sweep_less_than_whole_where_the_queue_does(state: DiscoveryState) -> None:
    state.searched(0)
    state.want_search()
    assert not state.must_search(0.5)
    assert state.search_due_in(0.5) == 0.5
    assert state.must_search(1)
    state.search_failed(1)
    assert state.whole(1)
    assert 0 < state.search_due_in(1) < 1


def test_a_sweep_waits_longer_for_an_index_that_is_slow(state: DiscoveryState) -> None:
    waits = []
    for now in range(0, 200, 20):
        waits.append(state.patience())
        state.search_failed(now)
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-1] == 60


# --- the index ---


def test_a_new_failure_of_the_same_way_is_worth_telling_and_a_repeated_one_is_not(state: DiscoveryState) -> None:
    assert state.works("search", "500 a", True, True, 0)
    assert not state.works("search", "", True, True, 10)
    assert not state.works("search", "500 a", True, True, 100)
    assert state.works("search", "500 b", True, True, 200)


def test_a_better_way_is_tried_again_once_a_minute(state: DiscoveryState) -> None:
    state.works("search", "500", True, True, 0)
    assert state.ways(59) == ("search", "workflows")
    assert state.ways(60) == ("search-v2", "search", "workflows")
    state.works("search-v2", "", True, True, 60)
    assert state.ways(1e9) == module.WAYS


def test_only_what_is_new_is_read_once_the_index_has_shown_a_task_until_it_shows_none(state: DiscoveryState) -> None:
    state.round_began()
    state.discovered()
    assert state.reads_everything()
    state.works("search-v2", "", True, True, 0)
    assert not state.reads_everything()
    state.works("search-v2", "", False, False, 1)
    assert not state.reads_everything(), "nothing new is no sign of anything"
    state.works("search-v2", "", True, False, 2)
    assert state.shown == "nothing"
    assert state.reads_everything()


def test_an_index_that_is_off_proves_by_a_task_that_it_is_on_again(state: DiscoveryState) -> None:
    state.works("search-v2", "", True, False, 0)
    assert state.is_off(10)
    assert not state.is_off(20)
    assert (state.way, state.shown) == ("workflows", "off")
    assert not state.counts("search-v2", shown=False)
    assert state.counts("workflows", shown=False)
    assert state.counts("search-v2", shown=True)
    state.works("search-v2", "", True, True, 80)
    assert (state.way, state.shown) == ("search-v2", "tasks")


def test_reading_all_workflows_takes_a_tenth_of_the_time(state: DiscoveryState) -> None:
    assert state.may_scan(0)
    state.scanned(0, 3)
    assert not state.may_scan(32)
    assert state.may_scan(33)


def test_an_empty_index_is_held_against_workflows_now_and_then_or_when_it_must_be(state: DiscoveryState) -> None:
    assert state.may_sample(0, must=False)
    assert not state.may_sample(119, must=False)
    assert state.may_sample(119, must=True)
    assert not state.may_sample(238, must=False)
    assert state.may_sample(239, must=False)


# --- discoveries ---


def test_a_round_is_due_at_first_rarely_again_and_after_conductor_was_away(state: DiscoveryState) -> None:
    due = []
    for number in range(45):
        if state.round_is_due():
            due.append(number)
            state.round_began()
        state.discovered()
    assert due == [0, 40]
    state.conductor_was_away()
    assert state.round_is_due()
    state.round_began()
    assert not state.round_is_due()
    state.round_broke_off()
    assert state.round_is_due()
