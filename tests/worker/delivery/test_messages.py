"""Messages to running workflows: which one gets it, what is done without one, and what after a lost
answer."""

from __future__ import annotations

import time
from dataclasses import replace
from unittest import mock

import pytest

from store.records import Event, NewTarget, Otherwise, Result, Target
from store.rules.keys import lane_of
from tests.support.clock import Clock
from tests.support.simulated import Fault
from tests.worker.targets import Bench, bench
from worker.conductor.errors import NotThere
from worker.delivery.results import Results
from worker.delivery.unread import UnreadMessages

__all__ = ["bench"]


def message(otherwise: Otherwise = "start") -> NewTarget:
    return NewTarget(
        "message", "flow", correlation_id="k", lane=lane_of("flow", "k"), otherwise=otherwise
    )


def claimed(bench: Bench, otherwise: Otherwise = "start") -> Target:
    """The message of another event, claimed."""
    bench.decide(message(otherwise))
    [target] = bench.store.claims.claim("me", bench.store.now(), 0, 9)
    return target


def ended(bench: Bench, result: Result) -> Result:
    bench.store.claims.record_results("me", [result], bench.store.now())
    return result


def read(bench: Bench, workflow_id: str) -> list[str]:
    """The events whose messages are in the workflow's queue."""
    return [
        one["_webhook"]["eventId"] for one in bench.conductor.messages.queues.get(workflow_id, [])
    ]


def test_what_a_proxy_answers_for_conductor_does_not_tell_what_was_left_unread(
    bench: Bench,
) -> None:
    first = ended(bench, bench.result(claimed(bench)))
    ended(bench, bench.result(claimed(bench)))
    bench.conductor.workflows[str(first.workflow_id)].ended = True
    unread = UnreadMessages(bench.context())
    with mock.patch.object(bench.conductor.messages, "unread", side_effect=NotThere("404", 404)):
        unread.look()
    assert bench.stored().status == "delivered"
    unread.look()
    assert bench.stored().status == "pending"


@pytest.mark.parametrize("knows_others", [False, True])
def test_an_empty_server_does_not_tell_that_messages_were_read(
    bench: Bench, knows_others: bool
) -> None:
    first, second = (bench.conductor.begin("flow", correlation_id=key) for key in ("k", "other"))
    ended(bench, bench.result(claimed(bench)))
    bench.decide(
        NewTarget("message", "flow", correlation_id="other", lane=lane_of("flow", "other"))
    )
    ended(bench, bench.result(bench.store.claims.claim("me", bench.store.now(), 0, 9)[0]))
    clock = Clock(1000.0)
    unread = UnreadMessages(bench.context(clock=clock))
    gone = {first.id} if knows_others else {first.id, second.id}
    with mock.patch.dict(bench.conductor.workflows):
        for workflow_id in gone:
            del bench.conductor.workflows[workflow_id]
        for _ in range(100):
            unread.look()
            clock.seconds += 2
        still_open = {one.workflow_id for one in bench.store.conversations.open()}
        assert still_open == ({second.id} if knows_others else gone)
        clock.seconds += 600
        unread.look()
        assert len(bench.store.conversations.open()) == int(knows_others), "it is gone for good"


def test_a_look_settles_all_that_have_ended_and_reads_some_of_those_that_run(bench: Bench) -> None:
    """The server has no lists of what runs."""
    targets = [
        NewTarget("message", "flow", correlation_id=f"k{n}", lane=lane_of("flow", f"k{n}"))
        for n in range(160)
    ]
    bench.decide(*targets, claim=False)
    for target in bench.store.claims.claim("me", bench.store.now(), 0, len(targets)):
        workflow = bench.conductor.begin("flow", correlation_id=str(target.correlation_id))
        workflow.ended = target.id % 2 == 0
        ended(bench, Result(target, "done", workflow_id=workflow.id))
    unread = UnreadMessages(bench.context())
    with mock.patch.object(bench.conductor, "running", side_effect=NotThere("404", 404)):
        unread.look()
        assert 80 < len(bench.store.conversations.open()) < 160
        unread.look()
    assert len(bench.store.conversations.open()) == 80


@pytest.mark.parametrize("fault", ["lost_before", "lost_after"])
@pytest.mark.parametrize("pulled", [True, False])
def test_a_lost_push_is_made_again_unless_a_task_has_read_it(
    bench: Bench, fault: Fault, pulled: bool
) -> None:
    workflow = bench.conductor.begin("flow", correlation_id="k")
    target = claimed(bench)
    before = time.time()
    result = bench.result(target, fault)
    assert (result.state, result.workflow_id) == ("pending", workflow.id)
    assert result.due_at / 1000 >= before + bench.conductor.timeout - 0.001, (
        "it may still be taking effect"
    )
    bench.conductor.messages.pulled[workflow.id] = len(read(bench, workflow.id)) if pulled else 0
    again = replace(bench.later(target), workflow_id=result.workflow_id)
    assert bench.result(again).state == "done"
    assert len(read(bench, workflow.id)) == (2 if fault == "lost_after" and not pulled else 1)


@pytest.mark.parametrize("unindexed", [False, True])
def test_a_lost_start_is_not_repeated(bench: Bench, unindexed: bool) -> None:
    bench.conductor.starts_unindexed = unindexed
    target = claimed(bench)
    assert bench.result(target, "lost_after").state == "pending"
    result = bench.result(bench.later(target))
    assert (result.state, result.workflow_id, list(bench.conductor.workflows)) == (
        "done",
        "w0",
        ["w0"],
    )
    assert read(bench, "w0") == [bench.event]
    assert bench.conductor.evaluated == ["w0"]


def test_a_lost_start_that_a_look_leaves_out_is_not_repeated_though_others_with_its_key_have_ended(
    bench: Bench,
) -> None:
    """As on PostgreSQL, where Conductor skips locked rows."""
    bench.conductor.begin("flow", correlation_id="k").ended = True
    target = claimed(bench)
    assert bench.result(target, "lost_after").state == "pending"
    bench.conductor.messages.left_out = {"w1": 3}
    for number in range(3):  # by which it is known that Conductor looks starts up in its store
        bench.conductor.begin("other", correlation_id=f"event {number}")
        bench.executor._calls._earlier_starts.made("other", f"event {number}")
    result = bench.result(bench.later(target))
    assert (result.state, result.workflow_id, len(bench.conductor.workflows)) == ("done", "w1", 5)


def test_a_workflow_that_ends_before_its_first_message_isnt_started_again(bench: Bench) -> None:
    def end(workflow_id: str) -> None:
        bench.conductor.workflows[workflow_id].ended = True

    bench.conductor.messages.before_push = end
    target = claimed(bench)
    assert bench.result(target).state == "done"
    assert bench.result(bench.later(target)).state == "done"
    assert list(bench.conductor.workflows) == ["w0"]


def test_a_message_waits_for_a_paused_workflow_whatever_its_entry_says(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow", correlation_id="k")
    bench.conductor.messages.paused.add(workflow.id)
    for otherwise in ("start", "hold", "ignore"):
        target = replace(claimed(bench), otherwise=otherwise)
        result = ended(bench, bench.result(target))
        assert (result.state, result.error) == ("pending", f"workflow {workflow.id} is paused")
        known = bench.result(replace(bench.later(target), workflow_id=workflow.id))
        assert (known.state, known.workflow_id) == ("pending", workflow.id)
        bench.store.claims.record_results(
            "me", [Result(t, "done") for t in bench.store.claims.claim("me", 2**50, 0, 9)], 0
        )
    assert list(bench.conductor.workflows) == [workflow.id]


def test_a_full_queue_is_tried_again_soon(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow", correlation_id="k")
    bench.conductor.messages.most = 0
    result = bench.result(claimed(bench))
    assert (result.state, result.error) == (
        "pending",
        f"the message queue of workflow {workflow.id} is full",
    )
    assert result.due_at / 1000 < time.time() + 2


def test_a_server_whose_queues_are_off_is_waited_for_with_the_remedy(bench: Bench) -> None:
    bench.conductor.messages.on = False
    target = claimed(bench)
    result = bench.result(target)
    assert (result.state, result.workflow_id) == ("pending", "w0")
    assert "conductor.workflow-message-queue.enabled=true" in str(result.error)
    bench.conductor.messages.on = True
    assert bench.result(replace(bench.later(target), workflow_id="w0")).state == "done"
    assert list(bench.conductor.workflows) == ["w0"]


def held_before_a_start(bench: Bench) -> tuple[Target, Event, str]:
    """A held message with its event, and the event of the one behind it, which starts the
    workflow."""
    target = claimed(bench, "hold")
    event = replace(bench.stored(), hold_until=bench.store.now() + 60_000)
    bench.decide(message("start"))
    return target, event, bench.event


@pytest.mark.parametrize("lost", [False, True])
def test_a_held_message_starts_its_workflow_for_a_later_one_that_would(
    bench: Bench, lost: bool
) -> None:
    target, event, later = held_before_a_start(bench)
    if lost:
        bench.conductor.fault = "lost_after"
        assert bench.executor._calls.outcome(target, event).result.state == "pending"
        bench.conductor.fault = None
    result = bench.executor._calls.outcome(bench.later(target) if lost else target, event).result
    assert (result.state, result.workflow_id) == ("done", "w0")
    ended(bench, replace(result, target=target))
    [second] = bench.store.claims.claim("me", bench.store.now(), 0, 9)
    assert (second.event_id, bench.result(second).state) == (later, "done")
    [workflow] = bench.conductor.workflows.values()
    assert workflow.input["_webhook"]["eventId"] == later
    assert read(bench, workflow.id) == [event.id, later]


def test_a_held_message_isnt_refused_with_a_later_one_and_starts_no_workflow_twice(
    bench: Bench,
) -> None:
    target, event, _ = held_before_a_start(bench)
    refused = bench.executor._calls.outcome(replace(target, workflow="unknown"), event).result
    assert (refused.state, refused.error) == (
        "pending",
        "no workflow with its key is running; it is held for one",
    )

    def end(workflow_id: str) -> None:
        bench.conductor.workflows[workflow_id].ended = True

    bench.conductor.messages.before_push = end
    for _ in range(2):
        assert bench.executor._calls.outcome(bench.later(target), event).result.state == "pending"
    assert list(bench.conductor.workflows) == ["w0"]


def test_a_message_that_was_read_isnt_repeated_if_its_workflow_has_ended_since(
    bench: Bench,
) -> None:
    workflow = bench.conductor.begin("flow", correlation_id="k")
    target = claimed(bench)
    assert bench.result(target).state == "done"  # and the worker dies
    bench.conductor.messages.pulled[workflow.id] = 1
    workflow.ended = True
    result = bench.result(bench.later(target))
    assert (result.state, result.workflow_id, list(bench.conductor.workflows)) == (
        "done",
        workflow.id,
        [workflow.id],
    )


def test_what_has_ended_with_its_key_is_read_whole_only_for_a_further_try(bench: Bench) -> None:
    """With every message that starts a workflow there is more of it, and each would read it again."""
    bench.conductor.messages.size_of_ended = 64 * 1024**2
    target = claimed(bench)
    started = bench.result(target)  # and the worker dies
    [workflow] = bench.conductor.workflows.values()
    assert (started.state, started.workflow_id) == ("done", workflow.id)
    workflow.ended = True
    again = bench.result(bench.later(target))
    assert (again.state, again.workflow_id, len(bench.conductor.workflows)) == (
        "done",
        workflow.id,
        1,
    )
    assert bench.conductor.messages.read_whole == 1


def test_a_message_that_fails_unforeseen_holds_up_those_behind_it_only_for_its_first_tries(
    bench: Bench,
) -> None:
    bench.conductor.begin("flow", correlation_id="k")
    target = claimed(bench)
    bench.decide(message())
    results = Results(bench.store, "me", time)
    tries = []
    for _ in range(3):
        results.set_aside(target, "w", "a bug")
        results.record()
        due = bench.store.claims.claim("me", 2**50, 0, 9)
        tries.append(len(due))
        target = due[0]
    assert tries == [1, 1, 2]
    assert (target.lane, bench.result(target).state) == (None, "done")


@pytest.mark.parametrize("others_succeed", [True, False])
def test_a_message_that_alone_gets_5xx_lets_those_behind_it_go_on(
    bench: Bench, others_succeed: bool
) -> None:
    bench.conductor.begin("flow", correlation_id="k")
    target = claimed(bench)
    bench.decide(message())
    now = bench.store.now()
    bench.store.effects.note("message", now - (0 if others_succeed else 150_000))
    result = ended(bench, bench.result(replace(target, failing_since=now - 120_000), "500"))
    assert (result.state, result.failing_since) == ("pending", now - 120_000)
    due = [one.id for one in bench.store.claims.claim("me", bench.store.now(), 0, 9)]
    assert due == ([target.id + 1] if others_succeed else [])


def test_an_unknown_workflow_cant_be_started(bench: Bench) -> None:
    target = replace(claimed(bench), workflow="unknown")
    assert bench.result(target).state == "failed"
