"""Tasks whose workflow Conductor can't show, and the events that may be theirs."""

from __future__ import annotations

from unittest import mock

import pytest

from store.records import Workflow
from tests.support.simulated import SimulatedTask, failed, forbidden
from tests.worker.decision.decider_bench import SECOND, Bench, sick
from tests.worker.decision.decider_bench import bench as bench
from worker.conductor.errors import Unreachable


def heal(bench: Bench) -> None:
    """It can again, and the time of the next look-up has come."""
    bench.conductor.sick = set()
    bench.ms += 31 * SECOND


@pytest.mark.parametrize(
    "answer", [failed(500), forbidden(), Unreachable("no"), KeyError("garbage")]
)
def test_a_workflow_that_cannot_be_shown_delays_its_own_task_alone(
    bench: Bench, answer: Exception
) -> None:
    bench.define(
        {"name": "w", "receivers": {"flow": [1, 2]}}, {"name": "other", "receivers": {"sub": 1}}
    )
    ill, well, elsewhere = bench.wait(), bench.wait(), bench.wait(name="sub")
    sick(bench, ill)
    bench.conductor.sick_answer = lambda: answer
    event, other = bench.arrive(), bench.arrive("other")
    bench.decide()
    targets = {
        target.task_id: target.only_versions
        for target in bench.store.queries.targets_of([event, other])
    }
    assert targets == {ill.id: (1, 2), well.id: None, elsewhere.id: None}


def test_a_held_event_stays_held_for_a_task_in_doubt_which_takes_it_when_it_can_be_looked_up(
    bench: Bench,
) -> None:
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive(hold=5)
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    for _ in range(3):
        bench.ms += 10 * SECOND
        bench.decide()
        assert bench.event(event).hold == "held", (
            "also when its hold has ended: the task came within it"
        )
    heal(bench)
    bench.decide()
    assert bench.takers(event) == [task.id]


def test_no_event_overtakes_one_whose_task_is_looked_up_while_events_are_decided(
    bench: Bench,
) -> None:
    bench.define(
        {"name": "w", "receivers": {"flow": "any"}, "hold": "10m"},
        {"name": "v", "receivers": {"sub": 1}},
    )
    workflow = bench.conductor.begin("flow").id
    first = bench.arrive()
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    bench.decide()
    elsewhere = bench.wait(name="sub")
    bench.ms += SECOND // 2
    find = bench.conductor.workflow

    def slow(workflow_id: str) -> Workflow | None:
        if workflow_id == elsewhere.workflow_id:
            heal(bench)
        return find(workflow_id)

    bench.arrive("v")
    second = bench.arrive()
    with mock.patch.object(bench.conductor, "workflow", slow):
        bench.decide()
    assert bench.takers(second) == []
    bench.decide()
    assert (bench.takers(first), bench.takers(second)) == ([task.id], [])


def test_events_that_are_decided_together_keep_their_order_over_a_task_in_doubt(
    bench: Bench,
) -> None:
    workflow = bench.conductor.begin("flow").id
    first = bench.arrive()
    bench.ms += 10
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    bench.ms += 10
    second, third = bench.arrive(), bench.arrive()
    bench.decide()
    assert [bench.event(event).hold for event in (first, second, third)] == ["held"] * 3
    heal(bench)
    bench.decide()
    assert bench.takers(first) == [task.id]


def test_an_event_whose_hold_ended_in_a_downtime_is_kept_for_a_task_in_doubt_that_came_in_time(
    bench: Bench,
) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    event = bench.arrive(hold=10)
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    bench.ms += 60 * SECOND
    sick(bench, task)
    bench.decide()
    bench.decide()
    assert bench.event(event).hold == "held"
    heal(bench)
    bench.decide()
    assert bench.takers(event) == [task.id]


def kept_beyond_its_hold(bench: Bench) -> tuple[str, SimulatedTask]:
    """An event whose hold is over, and the task in doubt for which it is kept."""
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive(hold=5)
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    bench.ms += 10 * SECOND
    bench.decide()
    return event, task


def test_a_task_in_doubt_that_another_event_takes_lets_the_event_expire_at_once(
    bench: Bench,
) -> None:
    bench.define(
        {"name": "w", "receivers": {"flow": 1}, "hold": "5s"},
        {"name": "v", "receivers": {"flow": "any"}, "hold": "5s"},
    )
    event, task = kept_beyond_its_hold(bench)
    assert bench.event(event).hold == "held"
    other = bench.arrive("v")
    bench.decide()
    assert bench.takers(other) == [task.id]
    assert bench.event(event).status == "expired"


def test_a_task_in_doubt_that_ends_lets_the_event_expire(bench: Bench) -> None:
    event, task = kept_beyond_its_hold(bench)
    assert bench.event(event).status == "pending"
    bench.decider.drop_tasks([task.id])
    bench.decide()
    assert bench.event(event).status == "expired"
