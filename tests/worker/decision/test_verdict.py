"""Whether an event is for a task: each answer, and its limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from criteria.document import Document
from store.one_target import OneTarget
from store.records import Event, Task, Workflow
from worker.decision.verdict import (
    Broken,
    Differs,
    ForAnother,
    InTime,
    LookUp,
    NotAReceiver,
    NotAReceiverThen,
    Offer,
    OtherVersion,
    Receiver,
    StartedByIt,
    StartedLater,
    TooLate,
    Verdict,
    Waited,
    verdict,
)

ARRIVED, HELD_UNTIL, SKEW = 100_000, 200_000, 2000
ANY = {"flow": Receiver(None)}
EVENT = Event(
    seq=1,
    id="event",
    webhook="hook",
    received_at=ARRIVED,
    payload='{"type": "push"}',
    headers={},
    query={},
    hold_until=HELD_UNTIL,
    status="pending",
    decided_at=None,
    hold="no",
    settled_at=None,
)
TASK = Task("task", "w1", "flow", "wait", {"$.type": "push"}, ARRIVED - 1)
RUNNING = Workflow("w1", 1, "w1", ARRIVED - 1000, None)


def asked(
    event: Event = EVENT,
    task: Task = TASK,
    workflow: Workflow | None = RUNNING,
    receivers: Mapping[str, Receiver] = ANY,
) -> Verdict:
    document = Document(json.loads(event.payload))
    return verdict(Offer(event, document, receivers, SKEW), task, workflow)


def at(scheduled_at: int, **fields: Any) -> Task:
    """The task, scheduled then; not in a loop unless told."""
    return replace(TASK, scheduled_at=scheduled_at, **{"waiting_since": scheduled_at, **fields})


@pytest.mark.parametrize(
    ("scheduled_at", "answer"),
    [
        (ARRIVED, Waited()),
        (ARRIVED + 1, InTime()),
        (HELD_UNTIL, InTime()),
        (HELD_UNTIL + 1, TooLate()),
    ],
)
def test_a_task_waited_or_came_within_the_hold(scheduled_at: int, answer: Verdict) -> None:
    assert asked(task=at(scheduled_at)) == answer


@pytest.mark.parametrize(
    ("waiting_since", "answer"), [(ARRIVED, InTime()), (ARRIVED + 1, TooLate())]
)
def test_a_round_of_a_loop_comes_in_time_if_the_loop_waited(
    waiting_since: int, answer: Verdict
) -> None:
    assert asked(task=at(HELD_UNTIL + 10**6, waiting_since=waiting_since)) == answer


def test_what_is_not_held_is_only_for_who_waits() -> None:
    at_once = replace(EVENT, hold_until=ARRIVED)
    assert asked(at_once, at(ARRIVED)) == Waited()
    assert asked(at_once, at(ARRIVED + 1, waiting_since=ARRIVED)) == TooLate()


@pytest.mark.parametrize(
    ("started_at", "answer"),
    [
        (ARRIVED + SKEW, InTime()),
        (ARRIVED + SKEW + 1, StartedLater(ARRIVED + SKEW + 1)),
    ],
)
def test_a_workflow_was_running_give_or_take_the_skew(started_at: int, answer: Verdict) -> None:
    workflow = replace(RUNNING, root_started_at=started_at)
    assert asked(task=at(ARRIVED + 5000), workflow=workflow) == answer
    assert asked(workflow=workflow) == Waited(), "its task waited, whatever the clocks say"


@pytest.mark.parametrize(
    ("correlation_id", "answer"),
    [
        ("event", StartedByIt()),
        ("event#2", StartedByIt()),
        ("event2", InTime()),
        ("another#event", InTime()),
        (None, InTime()),
    ],
)
def test_a_workflow_that_the_event_started_is_known_by_its_correlation_id(
    correlation_id: str | None, answer: Verdict
) -> None:
    workflow = replace(RUNNING, root_correlation_id=correlation_id)
    assert asked(task=at(ARRIVED + 1), workflow=workflow) == answer


def test_content_decides_before_versions_and_times() -> None:
    only_2 = {"flow": Receiver(frozenset({2}))}
    assert asked(task=replace(TASK, matches={"$.type": "x"}), receivers=only_2) == Differs("$.type")
    assert asked(task=replace(TASK, matches={"$.type": None})) == Differs("$.type")
    assert isinstance(asked(task=replace(TASK, matches=None)), Broken)
    assert asked(task=replace(TASK, matches={})) == Waited()


def test_only_receivers_and_their_versions() -> None:
    assert asked(receivers={}) == NotAReceiver()
    assert asked(receivers={"flow": Receiver(frozenset({2}))}) == OtherVersion(1)
    assert asked(receivers={"flow": Receiver(frozenset({1, 2}))}) == Waited()


@pytest.mark.parametrize(
    ("added_at", "answer"),
    [(HELD_UNTIL, Waited()), (HELD_UNTIL + 1, NotAReceiverThen(HELD_UNTIL + 1))],
)
def test_a_receiver_that_is_added_takes_what_was_still_held(added_at: int, answer: Verdict) -> None:
    assert asked(receivers={"flow": Receiver(None, added_at)}) == answer


def test_a_replay_to_one_target_is_for_no_other() -> None:
    own = OneTarget("complete", "flow", "w1", "wait")
    assert asked(replace(EVENT, only=own)) == Waited()
    assert asked(replace(EVENT, only=replace(own, workflow_id="w2"))) == ForAnother()


def test_a_workflow_is_looked_up_only_where_it_matters() -> None:
    assert asked(workflow=None) == Waited()
    assert asked(task=at(ARRIVED + 1), workflow=None) == LookUp()
    assert asked(task=at(HELD_UNTIL + 1), workflow=None) == TooLate()
    assert asked(workflow=None, receivers={"flow": Receiver(frozenset({1}))}) == LookUp()
