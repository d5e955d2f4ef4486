"""Why a callback can't complete its task, as its target's call finds out; and that a task that
ended ends it."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest

from config.webhooks import Definitions, Webhook
from store.one_target import callback_to
from store.records import Event, NewTarget, Result
from tests.support.simulated import SimulatedConductor
from tests.worker.targets import DEFINITIONS, Bench, bench

__all__ = ["bench"]


@pytest.fixture(autouse=True)
def defined() -> Iterator[None]:
    callback = {"secret": "a-secret-of-24-characters"}
    webhook = Webhook.model_validate(
        {"name": "w", "receivers": {"flow": [1]}, "callback": callback}
    )
    with mock.patch.object(DEFINITIONS, "current", Definitions((webhook,))):
        yield


def result(bench: Bench, workflow_id: str) -> Result:
    target = NewTarget("complete", "flow", workflow_id=workflow_id, reference_name="approve")
    [claimed] = bench.decide(target)
    return bench.result(claimed)


def flow(
    conductor: SimulatedConductor, status: str | None = None, name: str = "flow", version: int = 1
) -> str:
    workflow = conductor.begin(name, version).id
    if status is not None:
        conductor.schedule(workflow, "approve", None, "HUMAN").status = status
    return workflow


def test_what_somebody_should_correct_fails_and_says_what(bench: Bench) -> None:
    for workflow, reason in (
        ("nowhere", "Conductor has no workflow nowhere"),
        (
            flow(bench.conductor, name="stranger"),
            "is a stranger, which isn't among the webhook's receivers",
        ),
        (flow(bench.conductor, version=2), "has version 2; the webhook's receivers have 1"),
        (flow(bench.conductor, "IN_PROGRESS"), "waits only now: replay the event"),
        (flow(bench.conductor), "is still to come: replay the event"),
    ):
        found = result(bench, workflow)
        assert found.state == "failed"
        assert reason in str(found.error)


def test_a_task_whose_name_only_looks_like_an_iteration_of_one_that_is_named_is_refused(
    bench: Bench,
) -> None:
    callback = {"secret": "a-secret-of-24-characters", "tasks": ["approve"]}
    webhook = Webhook.model_validate(
        {"name": "w", "receivers": {"flow": "any"}, "callback": callback}
    )
    workflow = flow(bench.conductor)
    bench.conductor.schedule(workflow, "approve__2", None, "HUMAN", in_loop=False)
    target = NewTarget("complete", "flow", workflow_id=workflow, reference_name="approve__2")
    [claimed] = bench.decide(target)
    with mock.patch.object(DEFINITIONS, "current", Definitions((webhook,))):
        found = bench.result(claimed)
    assert (found.state, found.error) == (
        "failed",
        "task approve__2 isn't among those that `callback.tasks` names",
    )


def test_what_has_gone_on_without_the_event_cancels_it_for_good(bench: Bench) -> None:
    ended = bench.conductor.begin("flow")
    ended.ended = True
    for workflow, reason in (
        (ended.id, "has ended: COMPLETED"),
        (flow(bench.conductor, "COMPLETED"), "has ended"),
    ):
        found = result(bench, workflow)
        assert (found.state, found.final) == ("cancelled", True)
        assert reason in str(found.error)


@pytest.mark.parametrize("is_callback", [False, True])
def test_a_task_that_ended_frees_an_event_unless_it_is_a_callback(
    bench: Bench, is_callback: bool
) -> None:
    task = bench.task()
    [target] = bench.decide(bench.completion(task))
    task.status = "CANCELED"
    event: Event = bench.stored()
    if is_callback:
        object.__setattr__(event, "only", callback_to(task.workflow_id, task.reference_name))
    found = bench.executor._calls.outcome(target, event).result
    assert (found.state, found.final) == ("cancelled", is_callback)
