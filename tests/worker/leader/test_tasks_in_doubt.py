"""Tasks whose workflow Conductor can't show, and the events that may be theirs."""

from __future__ import annotations

from unittest import mock

import pytest

from store.records import Result, Workflow
from tests.store.contract.makers import ME
from tests.worker.leader.decider_bench import SECOND, Bench, sick
from tests.worker.leader.decider_bench import bench as bench
from tests.worker.simulated import SimulatedTask, failed, forbidden
from worker.conductor.errors import Unreachable


def heal(bench: Bench) -> None:
    """It can again, and the time of the next look-up has come."""
    bench.conductor.sick = set()
    bench.ms += 31 * SECOND


@pytest.mark.parametrize("answer", [failed(500), forbidden(), Unreachable("no"), KeyError("garbage")])
def test_a_workflow_that_cannot_be_shown_delays_its_own_task_alone(bench: Bench, answer: Exception) -> None:
    bench.define({"name": "w", "receivers": {"flow": [1, 2]}}, {"name": "other", "receivers": {"sub": 1}})
    ill, well, elsewhere = bench.wait(), bench.wait(), bench.wait(name="sub")
    sick(bench, ill)
    bench.conductor.sick_answer = lambda: answer
    event, other = bench.arrive(), bench.arrive("other")
    bench.decide()
    targets = {target.task_id: target.only_versions for target in bench.store.queries.targets_of([event, other])}
    assert targets == {ill.id: (1, 2), well.id: None, elsewhere.id: None}


def test_a_task_in_doubt_that_was_not_the_events_waits_on_and_the_event_is_held_for_others(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": 2}, "hold": "10m"})
    ill = bench.wait()
    sick(bench, ill)
    event = bench.arrive()
    [(target, _)] = bench.decide()
    bench.store.claims.record_results("me", [Result(target, "cancelled", "version 1", unfit=True)], bench.ms)
    returned = bench.store.decisions.agenda(9).returned
    assert [task.id for task in returned] == [ill.id]
    bench.store.tasks.wait_again(ME, [ill.id])
    bench.decider.add_tasks(returned)
    bench.decide()
    assert bench.event(event).hold == "held"
    late = bench.wait(version=2)
    heal(bench)
    bench.decide()
    assert bench.takers(event) == [ill.id, late.id]
    assert ill.id in bench.decider.tasks


def test_a_held_event_stays_held_for_a_task_in_doubt_which_takes_it_when_it_can_be_looked_up(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive(hold=5)
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    for _ in range(3):
        bench.ms += 10 * SECOND
        bench.decide()
        assert bench.event(event).hold == "held", "also when its hold has ended: the task came within it"
    heal(bench)
    bench.decide()
    assert bench.takers(event) == [task.id]


def test_a_held_event_expires_when_the_task_in_doubt_turns_out_not_to_be_for_it(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": 2}, "hold": "5s"})
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive(hold=5)
    bench.decide()
    bench.ms += SECOND
    sick(bench, bench.wait(workflow=workflow))
    bench.ms += 10 * SECOND
    bench.decide()
    assert bench.event(event).hold == "held"
    heal(bench)
    bench.decide()
    assert bench.event(event).status == "expired"


def test_another_task_may_take_an_event_that_one_in_doubt_might(bench: Bench) -> None:
    ill, well = bench.conductor.begin("flow").id, bench.conductor.begin("flow").id
    event = bench.arrive()
    bench.decide()
    bench.ms += SECOND
    first, second = bench.wait(workflow=ill), bench.wait(workflow=well)
    sick(bench, first)
    bench.decide()
    assert bench.takers(event) == [second.id]
    heal(bench)
    bench.decide()
    assert first.id in bench.decider.tasks


def held_for_one_in_doubt(bench: Bench) -> tuple[str, SimulatedTask]:
    """The id of an event that is held, and a task that came later and may be its taker, which is in doubt."""
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive()
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    bench.decide()
    return event, task


def test_a_later_event_does_not_overtake_one_that_is_held_for_a_task_in_doubt(bench: Bench) -> None:
    first, task = held_for_one_in_doubt(bench)
    bench.ms += SECOND
    second = bench.arrive()
    bench.decide()
    assert bench.event(second).hold == "held"
    heal(bench)
    bench.decide()
    assert bench.takers(first) == [task.id]
    next_one = bench.wait(workflow=task.workflow_id)
    bench.decide()
    assert bench.takers(second) == [next_one.id]


def test_events_that_are_decided_together_keep_their_order_over_a_task_in_doubt(bench: Bench) -> None:
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


def test_no_event_overtakes_one_whose_task_is_looked_up_while_events_are_decided(bench: Bench) -> None:
    bench.define({"name": "w", "receivers": {"flow": "any"}, "hold": "10m"}, {"name": "v", "receivers": {"sub": 1}})
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


def test_an_event_goes_to_a_task_in_doubt_at_once_if_it_goes_to_another_too(bench: Bench) -> None:
    first, ill = held_for_one_in_doubt(bench)
    well = bench.wait({"$.n": 1})
    bench.ms += SECOND
    second = bench.arrive(n=1)
    bench.decide()
    assert sorted(bench.takers(second)) == sorted([ill.id, well.id])
    assert bench.event(first).hold == "held"


def test_an_event_whose_hold_ended_in_a_downtime_is_kept_for_a_task_in_doubt_that_came_in_time(bench: Bench) -> None:
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


def test_an_event_for_several_tasks_in_doubt_goes_to_all_of_them(bench: Bench) -> None:
    """Held, it would go to one, and the others would have missed it if the earlier one was for none of them."""
    first = bench.arrive()
    bench.decide()
    bench.ms += 10 * SECOND
    tasks = [bench.wait(), bench.wait()]
    sick(bench, *tasks)
    bench.decide()
    bench.ms += SECOND
    second = bench.arrive()
    bench.decide()
    heal(bench)
    bench.decide()
    assert sorted(bench.takers(second)) == sorted(task.id for task in tasks)
    assert bench.event(first).hold == "held"


def test_an_event_that_another_task_takes_holds_up_no_later_one_for_a_task_in_doubt(bench: Bench) -> None:
    well = bench.conductor.begin("flow").id
    ill_workflow = bench.conductor.begin("flow").id
    bench.ms += 10
    first = bench.arrive()
    bench.ms += 10
    ill, other = bench.wait(workflow=ill_workflow), bench.wait(workflow=well)
    sick(bench, ill)
    bench.ms += 10
    second = bench.arrive()
    bench.decide()
    assert bench.takers(first) == [other.id]
    assert bench.takers(second) == [ill.id]


def test_a_look_up_that_fails_is_not_repeated_at_once_but_ever_more_rarely(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.arrive(hold=3600)
    bench.decide()
    bench.ms += SECOND
    sick(bench, bench.wait(workflow=workflow))
    for _ in range(1000):
        bench.ms += SECOND
        bench.decide()
    assert 30 < len(bench.looked_up) < 50


def test_a_task_in_doubt_that_another_event_takes_lets_the_event_expire_at_once(bench: Bench) -> None:
    bench.define(
        {"name": "w", "receivers": {"flow": 1}, "hold": "5s"}, {"name": "v", "receivers": {"flow": "any"}, "hold": "5s"}
    )
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive(hold=5)
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    bench.ms += 10 * SECOND
    bench.decide()
    assert bench.event(event).hold == "held"
    other = bench.arrive("v")
    bench.decide()
    assert bench.takers(other) == [task.id]
    assert bench.event(event).status == "expired"


def test_a_task_in_doubt_that_ends_lets_the_event_expire(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    event = bench.arrive(hold=5)
    bench.decide()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    sick(bench, task)
    bench.ms += 10 * SECOND
    bench.decide()
    assert bench.event(event).status == "pending"
    bench.decider.drop_tasks([task.id])
    bench.decide()
    assert bench.event(event).status == "expired"


def test_a_workflow_that_conductor_did_not_know_is_asked_for_again(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    event = bench.arrive()
    bench.ms += SECOND
    task = bench.wait(workflow=workflow)
    with mock.patch.object(bench.conductor, "workflow", return_value=None):
        bench.decide()
    assert bench.takers(event) == []
    bench.restart()
    bench.decide()
    assert bench.takers(event) == [task.id]
