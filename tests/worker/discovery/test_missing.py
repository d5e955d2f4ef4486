"""When a waiting task is over, by what Conductor's answers prove."""

from __future__ import annotations

import pytest

from worker.conductor.responses import TaskStatus
from worker.discovery.missing import Miss, Missing, is_gone

WAITS, ENDED = TaskStatus(False, None), TaskStatus(True, None)
MINUTE = 60_000


@pytest.fixture
def missing() -> Missing:
    return Missing()


@pytest.mark.parametrize(
    ("times", "minutes", "gone"),
    [(1, 0, False), (3, 1, False), (2, 9, False), (3, 2, True), (9, 2, True)],
)
def test_a_task_is_gone_after_three_misses_over_two_minutes(
    times: int, minutes: float, gone: bool
) -> None:
    assert is_gone(Miss(7, times), 7 + round(minutes * MINUTE)) == gone


def test_a_task_that_has_ended_is_over_at_once(missing: Missing) -> None:
    answers = {"ends": ENDED, "waits": WAITS, "archived": None, "unknown": None}
    assert sorted(missing.judge(0, answers, True, ended={"ends", "waits", "archived"})) == [
        "archived",
        "ends",
    ]
    assert list(missing.tasks) == ["unknown"]


def test_only_misses_in_a_row_of_the_right_server_count(missing: Missing) -> None:
    for minute, (status, is_right) in enumerate(
        [
            (None, True),
            (WAITS, True),
            (None, False),
            (None, False),
            (None, True),
            (None, True),
            (None, False),
        ]
    ):
        assert missing.judge(minute * MINUTE, {"t": status}, is_right, ()) == []
    assert missing.tasks == {"t": Miss(4 * MINUTE, 2)}
    assert missing.judge(7 * MINUTE, {"t": None}, True, ()) == ["t"]
    assert missing.tasks == {}


def test_a_server_that_knows_none_of_the_tasks_is_another_one_until_it_knows_all(
    missing: Missing,
) -> None:
    """What it knows besides tells nothing: those may be its own."""
    missing.judge(1, {"ours": WAITS}, True, ())
    assert (missing.right_at, missing.is_another_server) == (1, False)
    for moment in range(2, 9):
        assert missing.judge(moment * MINUTE, {"ours": None, "theirs": WAITS}, False, ()) == []
        assert (missing.right_at, missing.is_another_server) == (1, True)
    missing.judge(10 * MINUTE, {"theirs": WAITS}, False, ())
    assert missing.right_at == 1, "ours is still missing"
    missing.judge(11 * MINUTE, {"ours": WAITS, "theirs": None}, True, ())
    assert (missing.right_at, missing.is_another_server) == (11 * MINUTE, False)
