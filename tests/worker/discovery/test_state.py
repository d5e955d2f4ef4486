"""What is known of how tasks are found: each state, what leads to it, and what ends it."""

from __future__ import annotations

import pytest

from tests.worker.clock import Clock
from worker.discovery import state as module
from worker.discovery.state import DiscoveryState

DAY = 24 * 3600.0


@pytest.fixture
def state() -> DiscoveryState:
    return DiscoveryState(Clock())


def at(state: DiscoveryState, seconds: float) -> DiscoveryState:
    """The state, when it is that late."""
    state.clock.seconds = seconds  # type: ignore[attr-defined]
    return state


# --- what a scan needs ---


def test_at_first_nobody_knows_what_the_worker_before_has_polled(state: DiscoveryState) -> None:
    assert at(state, 0).need() == "unsure"
    assert at(state, 0).must_search()
    assert not at(state, 0).complete()
    at(state, 0).searched(began=0)
    assert at(state, 0).need() == "queue"
    assert at(state, 0).complete()
    assert not at(state, 10).must_search()
    assert at(state, 10).search_due_in() == float("inf")


def test_after_a_lost_poll_every_scan_searches_for_as_long_as_it_may_be_carried_out(state: DiscoveryState) -> None:
    at(state, 0).searched(began=0)
    state.poll_lost()
    assert at(state, 1).need() == "unsure"
    at(state, 1).searched(began=1)
    assert at(state, module.LATE_POLLS - 1).need() == "both"
    assert at(state, module.LATE_POLLS - 1).complete()
    assert at(state, module.LATE_POLLS).need() == "queue"


def test_its_tasks_are_awaited_until_a_search_that_began_later_than_an_index_lags(state: DiscoveryState) -> None:
    at(state, 10).poll_lost()
    at(state, 11).poll_lost()
    at(state, 12).searched(began=11.9)
    assert state.lost_at == [10, 11]
    at(state, 13).searched(began=12)
    assert state.lost_at == [11]
    at(state, 14).searched(began=13)
    assert state.lost_at == []


def test_a_predecessors_poll_may_be_carried_out_late_too(state: DiscoveryState) -> None:
    at(state, 0).poll_may_be_late()
    at(state, 1).searched(began=1)
    assert at(state, module.LATE_POLLS - 1).must_search()
    assert not at(state, module.LATE_POLLS).must_search()


def test_searches_that_fail_make_events_with_a_known_taker_wait_only_a_few_times(state: DiscoveryState) -> None:
    at(state, 0).found_by_index_alone()
    for now, fails in enumerate((state.search_failed, state.search_broke_off, state.search_failed)):
        assert state.patient
        at(state, 20.0 * now)
        fails()
    assert not state.patient
    state.searched(began=60)
    assert state.patient


def test_a_task_that_was_found_by_the_index_alone_has_every_scan_search(state: DiscoveryState) -> None:
    at(state, 0).searched(began=0)
    at(state, 5).found_by_index_alone()
    assert at(state, 6).need() == "both"
    assert at(state, 6).must_search()
    at(state, 6).searched(began=6)
    assert at(state, 6).must_search()


def test_that_ends_when_the_queue_has_done_alone_for_a_day(state: DiscoveryState) -> None:
    at(state, 0).searched(began=0)
    at(state, 5).found_by_index_alone()
    at(state, 10).queued()
    assert at(state, 5 + DAY).need() == "both"
    assert at(state, 6 + DAY).need() == "queue"
    at(state, 7 + DAY).found_by_index_alone()
    assert at(state, 7 + DAY).need() == "both"


def test_on_a_server_whose_queue_hands_out_nothing_it_never_ends(state: DiscoveryState) -> None:
    at(state, 1).queued()
    at(state, 1).searched(began=1)
    at(state, 5).found_by_index_alone()
    assert at(state, 30 * DAY).need() == "both"


@pytest.mark.parametrize(("ago", "need"), [(60, "both"), (2 * DAY, "queue"), (-60, "both")])
def test_what_the_worker_before_has_seen_counts_as_long(state: DiscoveryState, ago: float, need: str) -> None:
    at(state, 10 * DAY).found_by_index_alone(ago)
    at(state, 10 * DAY).searched(began=10 * DAY)
    at(state, 10 * DAY).queued()
    assert at(state, 10 * DAY).need() == need


def test_a_search_that_fails_is_tried_again_after_a_while_and_meanwhile_no_scan_is_complete(
    state: DiscoveryState,
) -> None:
    at(state, 0).searched(began=0)
    at(state, 0).found_by_index_alone()
    pauses = []
    now = 1.0
    for _ in range(12):
        assert at(state, now).must_search()
        at(state, now).search_failed()
        assert not at(state, now).complete()
        assert not at(state, now).must_search()
        assert not at(state, now).may_search()
        pauses.append(at(state, now).search_due_in())
        now += pauses[-1]
    assert pauses[0] < 1
    assert 10 < pauses[-1] < 20
    at(state, now).searched(began=now)
    assert at(state, now).complete()
    assert not state.failing


def test_a_search_that_breaks_off_goes_on_soon_however_often_and_no_scan_is_complete_before_its_end(
    state: DiscoveryState,
) -> None:
    at(state, 0).searched(began=0)
    now = 1.0
    state.poll_lost()
    for _ in range(20):
        at(state, now).search_broke_off()
        assert not at(state, now).complete()
        assert at(state, now).search_due_in() < 1
        now += 1
    assert at(state, now).must_search()
    at(state, now).searched(began=now)
    assert at(state, now).complete()


def test_where_nothing_was_ever_found_by_the_index_alone_the_queue_must_do_after_a_few_tries(
    state: DiscoveryState,
) -> None:
    now = 0.0
    for _ in range(module.TRIES):
        assert not at(state, now).complete()
        assert at(state, now).must_search()
        at(state, now).search_failed()
        now += 20
    assert at(state, now).need() == "queue"
    assert at(state, now).complete()
    state.poll_lost()
    assert not at(state, now).complete(), "what that poll has lost only the index knows"


def test_a_wanted_search_that_fails_makes_no_scan_incomplete_where_the_queue_does(state: DiscoveryState) -> None:
    at(state, 0).searched(began=0)
    state.want_search()
    assert not at(state, 0.5).must_search()
    assert at(state, 0.5).search_due_in() == 0.5
    assert at(state, 1).must_search()
    at(state, 1).search_failed()
    assert at(state, 1).complete()
    assert 0 < at(state, 1).search_due_in() < 1


def test_an_index_that_gives_no_answer_is_searched_again_even_if_scans_do_without_it(state: DiscoveryState) -> None:
    at(state, 0).searched(began=0)
    state.want_search()
    at(state, 1).search_failed(answered=False)
    assert state.complete()
    assert state.silent
    assert at(state, 1 + state.search_due_in()).must_search()
    at(state, 10).searched(began=10)
    assert not state.silent
    assert not at(state, 20).must_search()


def test_an_index_that_says_that_it_cannot_be_searched_or_never_answers_holds_up_no_hold(
    state: DiscoveryState,
) -> None:
    at(state, 0).search_failed(answered=False)
    at(state, 20).search_failed(answered=True)
    assert not state.silent
    at(state, 40).search_failed(answered=False)
    at(state, 60).search_failed(answered=False)
    assert at(state, 39 + module.SILENT_FOR).silent
    assert not at(state, 40 + module.SILENT_FOR).silent


def test_a_scan_waits_longer_for_an_index_that_is_slow(state: DiscoveryState) -> None:
    waits = []
    for now in range(0, 200, 20):
        waits.append(state.patience())
        at(state, now).search_failed()
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-1] == 60


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


def test_only_what_is_new_is_read_once_the_index_has_shown_a_task_until_it_shows_none(state: DiscoveryState) -> None:
    state.reconciliation_began()
    state.discovered()
    assert state.reads_everything()
    at(state, 0).worked("search-v2", "", True, True)
    assert not state.reads_everything()
    at(state, 1).worked("search-v2", "", False, False)
    assert not state.reads_everything(), "nothing new is no sign of anything"
    at(state, 2).worked("search-v2", "", True, False)
    assert state.shown == "nothing"
    assert state.reads_everything()


def test_an_index_that_is_off_proves_by_a_task_that_it_is_on_again(state: DiscoveryState) -> None:
    at(state, 0).worked("search-v2", "", True, False)
    at(state, 10).index_is_off()
    assert (state.way, state.shown) == ("workflows", "off")
    assert not state.counts("search-v2", shown=False)
    assert state.counts("workflows", shown=False)
    assert state.counts("search-v2", shown=True)
    at(state, 80).worked("search-v2", "", True, True)
    assert (state.way, state.shown) == ("search-v2", "tasks")


def test_reading_all_workflows_takes_a_tenth_of_the_time(state: DiscoveryState) -> None:
    assert at(state, 0).may_read_workflows()
    at(state, 3).workflows_read(3)
    assert not at(state, 32).may_read_workflows()
    assert at(state, 33).may_read_workflows()


def test_an_empty_index_is_held_against_workflows_now_and_then_or_when_it_must_be(state: DiscoveryState) -> None:
    assert at(state, 0).may_check_empty(must=False)
    assert not at(state, 119).may_check_empty(must=False)
    assert at(state, 119).may_check_empty(must=True)
    assert not at(state, 238).may_check_empty(must=False)
    assert at(state, 239).may_check_empty(must=False)


# --- discoveries ---


def test_a_reconciliation_is_due_at_first_rarely_again_and_after_conductor_was_away(state: DiscoveryState) -> None:
    due = []
    for number in range(45):
        if state.reconciliation_is_due():
            due.append(number)
            state.reconciliation_began()
        state.discovered()
    assert due == [0, 40]
    state.conductor_was_away()
    assert state.reconciliation_is_due()
    state.reconciliation_began()
    assert not state.reconciliation_is_due()
    state.reconciliation_broke_off()
    assert state.reconciliation_is_due()
