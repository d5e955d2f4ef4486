"""Which task may take an event, as far as that is a matter of time."""

from __future__ import annotations

import pytest

from store.rules.transitions import (
    came_in_time,
    is_started_by,
    surely_was_running,
    was_running,
    was_waiting,
)

ARRIVED, SKEW = 10_000, 2000


def test_a_task_was_waiting_if_it_was_scheduled_no_later_than_the_event_arrived() -> None:
    assert [was_waiting(at, ARRIVED) for at in (9999, 10_000, 10_001)] == [True, True, False]


def test_a_task_comes_in_time_until_the_hold_ends() -> None:
    assert [came_in_time(at, 20_000) for at in (19_999, 20_000, 20_001)] == [True, True, False]


def test_a_workflow_was_running_if_it_started_before_the_event_give_or_take_the_skew() -> None:
    assert [was_running(at, ARRIVED, SKEW) for at in (9999, 12_000, 12_001)] == [True, True, False]


def test_that_is_sure_of_a_task_that_waited_before_by_more_than_the_skew() -> None:
    assert [surely_was_running(at, ARRIVED, SKEW) for at in (8000, 8001)] == [True, False]


@pytest.mark.parametrize(
    ("correlation_id", "own"),
    [
        ("event", True),
        ("event#2", True),
        ("event2", False),
        ("another#event", False),
        (None, False),
    ],
)
def test_a_workflow_that_the_event_started_is_known_by_its_correlation_id(
    correlation_id: str | None, own: bool
) -> None:
    assert is_started_by("event", correlation_id) is own
