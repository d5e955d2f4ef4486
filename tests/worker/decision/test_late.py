"""A join is late if the event had been taken up, and the task had waited, for longer than `GRACE`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.records import Event, Task
from worker.decision.late import GRACE, LateCause, why_late

NOW = 1_800_000_000_000
EVENT = Event(
    seq=1,
    id="e1",
    webhook="hook",
    received_at=NOW,
    payload="{}",
    headers={},
    query={},
    status="expired",
    hold_until=NOW + 600_000,
    decided_at=NOW + 10,
    hold="no",
    settled_at=None,
)
DUE = NOW + 10 + GRACE
TASK = Task("t1", "w1", "flow", "wait", {}, NOW - 5000, adopted_at=NOW - 4000)


@pytest.mark.parametrize(
    ("scheduled_at", "adopted_at", "joined_at", "cause"),
    [
        (NOW - 5000, DUE, DUE, None),
        (NOW - 5000, DUE + 1, DUE + 2, "queue"),
        (NOW - 5000, NOW - 4000, DUE + 1, "other"),
        (NOW + 60_000, NOW + 61_000, NOW + 62_000, None),
        (NOW + 60_000, NOW + 60_001 + GRACE, NOW + 60_001 + GRACE, "queue"),
    ],
)
def test_it_is_late_by_when_both_were_there(
    scheduled_at: int, adopted_at: int, joined_at: int, cause: LateCause | None
) -> None:
    task = replace(TASK, scheduled_at=scheduled_at, adopted_at=adopted_at)
    assert why_late(EVENT, task, joined_at) == cause


def test_it_is_told_where_the_task_was_found() -> None:
    assert why_late(EVENT, replace(TASK, found_by="index", adopted_at=DUE + 1), DUE + 1) == "index"


def test_an_event_that_is_decided_with_its_task_is_never_late() -> None:
    assert why_late(replace(EVENT, decided_at=None), TASK, NOW + 10**9) is None
