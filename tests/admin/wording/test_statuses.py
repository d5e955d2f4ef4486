"""Statuses and effects in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from admin.wording.statuses import StatusContext, describe_effects, describe_status
from store.records import Event, SetAside, Target

NOW = 1_769_860_800_000
"""2026-01-31 12:00 UTC."""
MINUTE, DAY = 60_000, 86_400_000
HELD = Event(
    seq=1,
    id="e",
    webhook="w",
    received_at=NOW,
    delivery_id=None,
    payload="{}",
    headers={},
    query={},
    status="pending",
    hold_until=NOW + 31 * MINUTE,
    decided_at=NOW,
    hold="held",
    settled_at=None,
    replay_of=None,
)
CALL = Target(
    id=1,
    event_id="e",
    kind="complete",
    workflow="flow",
    workflow_id="w1",
    task_id="t1",
    reference_name="ref",
    version=None,
    correlation_id=None,
    state="pending",
    attempts=0,
    error=None,
    claimed_by=None,
    claimed_at=None,
    due_at=NOW,
    created_at=NOW,
    settled_at=None,
)
ASIDE = SetAside("event", "e", "w", "why", NOW, 3, NOW + 2 * MINUTE)


def words(event: Event, *targets: Target, **context: Any) -> str:
    return describe_status(event, targets, replace(StatusContext(NOW, {}, {}, {}), **context))


def test_a_held_event_says_until_when() -> None:
    assert words(HELD) == "held until 12:31 UTC"
    assert words(replace(HELD, hold_until=NOW + DAY)) == "held until 2026-02-01 12:00 UTC"


def test_an_undecided_event_of_a_paused_webhook_is_paused() -> None:
    undecided = replace(HELD, decided_at=None, hold="no")
    assert words(undecided) == "to be decided"
    assert words(undecided, paused={"w": NOW}) == "paused"
    assert words(HELD, paused={"w": NOW}) == "held until 12:31 UTC"


def test_a_call_that_failed_says_how_often_and_when_it_is_tried_next() -> None:
    called = replace(HELD, hold="no")
    again = replace(CALL, attempts=3, due_at=NOW + 2 * MINUTE)
    assert words(called, CALL) == "being delivered"
    assert words(called, CALL, again) == "retrying (3 tries, next 12:02 UTC)"
    assert words(called, replace(again, attempts=1)) == "retrying (1 try, next 12:02 UTC)"
    assert words(called, replace(again, state="claimed")) == "being delivered"


def test_what_is_set_aside_is_quarantined() -> None:
    assert words(HELD, events={"e": ASIDE}) == "quarantined (3 tries, next 12:02 UTC)"
    called = replace(HELD, hold="no")
    assert (
        words(called, CALL, targets={"1": replace(ASIDE, tries=1)})
        == "quarantined (1 try, next 12:02 UTC)"
    )
    assert words(replace(HELD, hold="recheck")) == "free again"


@pytest.mark.parametrize("status", ["delivered", "expired", "ignored", "failed"])
def test_an_event_that_ended_says_how(status: Any) -> None:
    ended = replace(HELD, status=status, hold="no")
    assert words(ended, CALL, events={"e": ASIDE}) == status
    assert words(replace(ended, acknowledged_at=NOW)) == f"{status}, acknowledged"
    assert words(replace(ended, acknowledged_at=NOW, resolved_by="r")) == "resolved by replay"


def test_effects_are_counted() -> None:
    done, started = replace(CALL, state="done"), replace(CALL, kind="start", state="done")
    assert describe_effects([done, done, started]) == "completed 2 tasks, started 1 workflow"
    assert (
        describe_effects([CALL, replace(CALL, state="failed"), replace(CALL, state="skipped")])
        == ""
    )
