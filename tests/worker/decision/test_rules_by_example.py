"""An example of each rule that else only `test_rules` finds broken, after many random steps."""

from __future__ import annotations

import pytest

from tests.worker.decision.decider_bench import SECOND, Bench, settle, starts
from tests.worker.decision.decider_bench import bench as bench


def test_an_event_is_not_for_a_task_of_a_workflow_that_it_started_itself(bench: Bench) -> None:
    bench.define(
        {
            "name": "w",
            "receivers": {"flow": "any"},
            "starts": [{"workflow": "flow"}] * 2,
            "hold": "10m",
        }
    )
    event = bench.arrive()
    bench.decide()
    started = [str(target.correlation_id) for target in starts(bench, event)]
    assert started == [event, f"{event}#2"]
    for correlation_id in started:
        # As soon as the event came.
        workflow = bench.conductor.begin("flow", correlation_id=correlation_id)
        bench.wait(workflow=workflow.id)
    bench.decide()
    assert bench.takers(event) == []
    other = bench.wait()
    bench.decide()
    assert bench.takers(event) == [other.id], "only what it started itself is left out"


def test_nothing_takes_the_held_event_of_a_paused_webhook_before_it_resumes(bench: Bench) -> None:
    event = bench.arrive()
    bench.decide()
    bench.store.pauses.pause("w", bench.ms)
    task = bench.wait()
    bench.decide()
    assert bench.takers(event) == []
    bench.store.pauses.resume("w")
    bench.decide()
    assert bench.takers(event) == [task.id]


def test_a_held_event_goes_to_one_of_two_tasks_that_come_together(bench: Bench) -> None:
    event = bench.arrive()
    bench.decide()
    first, _ = bench.wait(), bench.wait()
    bench.decide()
    assert bench.takers(event) == [first.id]


def test_a_held_event_is_not_for_a_version_that_came_before_the_decision_and_is_no_receiver(
    bench: Bench,
) -> None:
    bench.define({"name": "w", "receivers": {"flow": [1]}, "hold": "10m"})
    event = bench.arrive()
    bench.ms += SECOND
    for version in (2, 1):
        task = bench.wait(version=version)
    bench.decide()
    assert bench.takers(event) == [task.id]


@pytest.mark.parametrize("another", [True, False])
def test_a_freed_event_goes_to_the_task_that_waits_already_and_else_starts_what_its_taker_prevented(
    another: bool, bench: Bench
) -> None:
    start = {"workflow": "new", "unless": "taken"}
    bench.define({"name": "w", "receivers": {"flow": "any"}, "starts": [start], "hold": "10m"})
    takers = [bench.wait().id]
    event = bench.arrive()
    bench.decide()
    bench.ms += SECOND
    if another:
        takers.append(bench.wait().id)
    bench.decide()
    [taken] = bench.store.queries.targets_of([event])
    settle(bench, taken, "cancelled")
    bench.decide()
    assert bench.takers(event) == takers
    assert [target.workflow for target in starts(bench, event)] == ([] if another else ["new"])


@pytest.mark.parametrize("freed", [False, True])
def test_the_event_that_nothing_took_has_expired(freed: bool, bench: Bench) -> None:
    if freed:
        bench.wait()
    event = bench.arrive(hold=1)
    bench.decide()
    for target in bench.store.queries.targets_of([event]):
        settle(bench, target, "cancelled")
    bench.decide()
    assert bench.event(event).status == "pending"
    bench.ms += 2 * SECOND
    bench.decide()
    assert bench.event(event).status == "expired"
