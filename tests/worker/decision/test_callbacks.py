"""Events that came by a callback's URL go to the task that it names, and to no other."""

from __future__ import annotations

from typing import Any

import pytest

from store.one_target import callback_to
from store.records import NewEvent, Result, Target
from tests.support.makers import ME
from tests.worker.decision.decider_bench import SECOND, Bench
from tests.worker.decision.decider_bench import bench as bench
from worker.decision import addressed_events, callbacks

SIGNED = {
    "name": "w",
    "receivers": {"flow": "any"},
    "callback": {"secret": "a-secret-of-24-characters"},
}
BY_ID = {"name": "w", "receivers": {"flow": "any"}, "callback": {"by": "id"}}
OTHER = {"name": "other", "receivers": {"flow": "any"}}


def called(bench: Bench, workflow_id: str, name: str, hold: int = 600, webhook: str = "w") -> str:
    bench.number += 1
    id_ = f"event{bench.number}"
    until = bench.ms + hold * SECOND
    new = NewEvent(id_, webhook, bench.ms, "{}", {}, {}, until, only=callback_to(workflow_id, name))
    bench.store.deliveries.append([new])
    return id_


def decide(bench: Bench, times: int = 2) -> None:
    """As often as it takes for an event to be held, looked up, and decided."""
    for _ in range(times):
        bench.decide()
        found = bench.decider.addressed.newly_found()
        bench.decider.add_tasks(bench.store.tasks.adopt(ME, found, bench.ms))


def targets(bench: Bench, event: str) -> list[Target]:
    return bench.store.queries.targets_of([event])


@pytest.mark.parametrize("kind", ["HUMAN", "WAIT_FOR_WEBHOOK"])
def test_the_task_that_waits_takes_it_whatever_else_would_match(bench: Bench, kind: str) -> None:
    bench.define(SIGNED)
    workflow = bench.conductor.begin("flow").id
    task = bench.conductor.schedule(workflow, "approve", {"$.never": "holds"}, kind)
    others = [bench.wait(), bench.conductor.schedule(workflow, "other", {})]
    event = called(bench, workflow, "approve")
    decide(bench)
    (target,) = targets(bench, event)
    assert (target.kind, target.workflow, target.workflow_id) == ("complete", "flow", workflow)
    assert (target.task_id, target.reference_name) == (task.id, "approve")
    assert {task.id for task in others} <= set(bench.decider.tasks.ids())
    assert len(bench.decider.held.callbacks) == 0


def test_no_other_event_takes_the_task_beside_it(bench: Bench) -> None:
    bench.define(SIGNED, OTHER)
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    held = bench.arrive("other")
    event = called(bench, workflow, "approve")
    decide(bench)
    bench.ms += SECOND
    task = bench.conductor.schedule(workflow, "approve", None)
    decide(bench)
    assert bench.takers(event) == [task.id]
    assert bench.takers(held) == []
    again = bench.conductor.schedule(workflow, "later", {})
    decide(bench)
    assert bench.takers(held) == [again.id]


@pytest.mark.parametrize(
    ("address", "name", "fits"),
    [
        ("approve", "approve__2", True),
        ("approve__2", "approve__2", True),
        ("approve__2", "approve__3", False),
        ("approve__2", "approve", False),
        ("approve", "approve_x", False),
    ],
)
def test_an_iteration_is_one_task_and_without_it_any_will_do(
    bench: Bench, address: str, name: str, fits: bool
) -> None:
    bench.define(SIGNED)
    workflow = bench.conductor.begin("flow").id
    for kind in ("HUMAN", "WAIT_FOR_WEBHOOK"):
        event = called(bench, workflow, address)
        decide(bench)
        task = bench.conductor.schedule(workflow, name, None, kind)
        bench.ms += 60 * SECOND
        decide(bench)
        assert bench.takers(event) == ([task.id] if fits else [])
        task.status = "CANCELED"


@pytest.mark.parametrize("kind", ["HUMAN", "WAIT_FOR_WEBHOOK"])
def test_a_number_of_the_users_own_makes_another_task(bench: Bench, kind: str) -> None:
    bench.define(SIGNED)
    workflow = bench.conductor.begin("flow").id
    other = bench.conductor.schedule(workflow, "step__2", None, kind, in_loop=False)
    event = called(bench, workflow, "step")
    for _ in range(3):
        bench.ms += 10 * SECOND
        decide(bench)
    assert (bench.takers(event), bench.event(event).hold) == ([], "held")
    task = bench.conductor.schedule(workflow, "step", None, kind)
    its_own = called(bench, workflow, "step__2")
    for _ in range(2):
        bench.ms += 60 * SECOND
        decide(bench)
    assert (bench.takers(event), bench.takers(its_own)) == ([task.id], [other.id])


@pytest.mark.parametrize("kind", ["HUMAN", "WAIT_FOR_WEBHOOK"])
@pytest.mark.parametrize("in_loop", [True, False])
@pytest.mark.parametrize("first", ["event", "task"])
def test_a_task_of_the_users_own_is_no_iteration_of_one_that_may_be_completed(
    bench: Bench, kind: str, in_loop: bool, first: str
) -> None:
    """Its name only looks like one; with `by: id` anyone who knows the workflow's id may ask for
    it."""
    bench.define(BY_ID | {"callback": {"by": "id", "tasks": ["step"]}})
    workflow = bench.conductor.begin("flow").id
    event = called(bench, workflow, "step__2") if first == "event" else ""
    if event:
        decide(bench)
    task = bench.conductor.schedule(workflow, "step__2", None, kind, in_loop=in_loop)
    event = event or called(bench, workflow, "step__2")
    for _ in range(2):
        bench.ms += 60 * SECOND
        decide(bench)
    assert [target.task_id for target in targets(bench, event)] == [task.id if in_loop else None]


@pytest.mark.parametrize("together", [True, False])
def test_a_second_url_of_a_task_that_is_being_completed_waits_for_the_first(
    bench: Bench, together: bool
) -> None:
    bench.define(SIGNED, SIGNED | {"name": "v"})
    workflow = bench.conductor.begin("flow").id
    task = bench.conductor.schedule(workflow, "approve", None, "HUMAN")
    first = called(bench, workflow, "approve")
    if not together:
        decide(bench)
    second = called(bench, workflow, "approve", webhook="v")
    for _ in range(3):
        bench.ms += 10 * SECOND
        decide(bench)
    assert (bench.takers(first), bench.event(second).hold) == ([task.id], "held")
    task.status, task.worker_id = "COMPLETED", first
    bench.store.claims.record_results("me", [Result(targets(bench, first)[0], "done")], bench.ms)
    bench.ms += 60 * SECOND
    decide(bench)
    assert [target.task_id for target in targets(bench, second)] == [None], (
        "its call says that the task has ended"
    )


def test_a_version_that_is_not_received_is_refused(bench: Bench) -> None:
    bench.define(SIGNED | {"receivers": {"flow": [1]}})
    for version, fits in ((1, True), (2, False)):
        workflow = bench.conductor.begin("flow", version).id
        bench.ms += SECOND
        task = bench.conductor.schedule(workflow, "approve", None)
        event = called(bench, workflow, "approve")
        decide(bench)
        (target,) = targets(bench, event)
        assert target.task_id == (task.id if fits else None)


def test_a_hold_ends_once_the_task_was_looked_for_after_it(bench: Bench) -> None:
    bench.define(SIGNED)
    workflow = bench.conductor.begin("flow").id
    event = called(bench, workflow, "approve", hold=10)
    bench.conductor.sick.add(workflow)
    for _ in range(5):
        bench.ms += 40 * SECOND
        decide(bench)
    assert bench.event(event).hold == "held", "nobody knows whether its task came in time"
    bench.conductor.sick.clear()
    bench.ms += 40 * SECOND
    decide(bench)
    assert (bench.event(event).status, bench.event(event).hold) == ("expired", "no")
    assert len(bench.decider.held.callbacks) == 0


@pytest.mark.parametrize("webhook", [SIGNED, BY_ID])
@pytest.mark.parametrize(
    "proof", ["two answers of the right server", "the hold's end", "many of them"]
)
def test_the_event_for_a_workflow_that_conductor_does_not_know_is_held_until_that_is_proven(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, webhook: dict[str, Any], proof: str
) -> None:
    """An empty server knows no workflow either."""
    bench.define(webhook)
    event = called(bench, "unknown", "approve")
    if proof == "many of them":
        monkeypatch.setattr(addressed_events, "_UNSIGNED_FOR_UNKNOWN", 0)
        decide(bench)
        assert (bench.event(event).hold == "held") == (webhook is SIGNED)
        return
    for _ in range(3):
        decide(bench)
        bench.ms += 70 * SECOND
    assert bench.event(event).hold == "held"
    if proof == "the hold's end":
        bench.ms += 600 * SECOND
    else:
        bench.decider.addressed.right_at = bench.ms
    decide(bench)
    assert bench.event(event).hold == "no"
    assert [one.workflow for one in targets(bench, event)] == (
        ["unknown"] if webhook is SIGNED else []
    )


def test_after_downtime_a_task_that_came_within_the_hold_takes_it_and_a_later_one_does_not(
    bench: Bench,
) -> None:
    bench.define(SIGNED)
    for late in (False, True):
        workflow = bench.conductor.begin("flow").id
        event = called(bench, workflow, "approve", hold=10)
        bench.ms += (20 if late else 5) * SECOND
        task = bench.conductor.schedule(workflow, "approve", None, "HUMAN")
        bench.ms += 60 * SECOND
        decide(bench)
        assert bench.takers(event) == ([] if late else [task.id])
        assert bench.event(event).status == ("expired" if late else "pending")


def test_of_names_made_up_for_one_workflow_only_so_many_are_held(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "_HELD_UNSIGNED", 3)
    bench.define(BY_ID, SIGNED | {"name": "signed"})
    workflow = bench.conductor.begin("flow").id
    events = [called(bench, workflow, f"made-up{number}") for number in range(5)]
    others = [
        called(bench, workflow, "approve", webhook="signed"),
        called(bench, bench.conductor.begin("flow").id, "approve"),
    ]
    decide(bench, 3)
    holds = [bench.event(event).hold for event in events]
    assert (holds.count("held"), holds.count("no")) == (3, 2)
    assert [bench.event(event).hold for event in others] == ["held", "held"]


def test_names_that_are_made_up_later_take_the_place_of_none_that_was_held_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "_HELD_UNSIGNED", 3)
    bench.define(BY_ID)
    workflow = bench.conductor.begin("flow").id
    event = called(bench, workflow, "approve")
    decide(bench)
    for number in range(20):
        for place in range(4):
            called(bench, workflow, f"made-up{number}.{place}")
        bench.ms += SECOND
        decide(bench, 3)
    assert bench.event(event).hold == "held"
    task = bench.conductor.schedule(workflow, "approve", None, "HUMAN")
    bench.ms += 60 * SECOND
    decide(bench)
    assert bench.takers(event) == [task.id]


def test_any_number_of_tasks_that_wait_in_one_workflow_are_completed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after downtime: their events come all at once."""
    monkeypatch.setattr(callbacks, "_HELD_UNSIGNED", 3)
    bench.define(BY_ID)
    workflow = bench.conductor.begin("flow").id
    tasks = [
        bench.conductor.schedule(workflow, f"approve{number}", None, "HUMAN") for number in range(8)
    ]
    events = [called(bench, workflow, f"approve{number}") for number in range(8)]
    bench.ms += SECOND
    decide(bench)
    assert [bench.takers(event) for event in events] == [[task.id] for task in tasks]


def test_a_task_that_cannot_be_read_holds_up_no_callback_of_another_in_its_workflow(
    bench: Bench,
) -> None:
    bench.define(SIGNED)
    workflow = bench.conductor.begin("flow").id
    garbled: Any = bench.conductor.schedule(workflow, "reject", None, "HUMAN")
    scheduled_at, garbled.scheduled_at = garbled.scheduled_at, "soon"
    task = bench.conductor.schedule(workflow, "approve", None, "HUMAN")
    rejection, event = called(bench, workflow, "reject"), called(bench, workflow, "approve")
    decide(bench)
    bench.ms += SECOND
    decide(bench)
    assert bench.takers(event) == [task.id]
    assert bench.event(rejection).hold == "held"
    garbled.scheduled_at = scheduled_at
    bench.ms += 60 * SECOND
    decide(bench)
    assert bench.takers(rejection) == [garbled.id]
