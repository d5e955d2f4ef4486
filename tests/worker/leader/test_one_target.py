"""A replay to one target goes to that one, whatever else it matches."""

from __future__ import annotations

import json

import pytest

from store.one_target import OneTarget, place_of
from store.records import NewEvent, Target
from tests.store.contract.makers import ME
from tests.worker.leader.decider_bench import SECOND, Bench, settle
from tests.worker.leader.decider_bench import bench as bench

WEBHOOK = {
    "name": "w",
    "receivers": {"flow": "any", "other": "any"},
    "starts": [
        {"workflow": "first"},
        {"workflow": "second", "when": {"$.n": 2}},
        {"workflow": "second", "unless": "taken"},
    ],
    "hold": "10m",
}


def replayed(bench: Bench, only: OneTarget, of: str = "event1") -> str:
    bench.number += 1
    id_ = f"event{bench.number}"
    payload = bench.event(of).payload
    new = NewEvent(id_, "w", bench.ms, payload, {}, {}, bench.ms + 600 * SECOND, replay_of=of, origin=of, only=only)
    bench.store.deliveries.append([new])
    return id_


def decided(bench: Bench, **payload: int) -> list[Target]:
    """The targets of an event that everything took which waits now."""
    event = bench.arrive(**payload)
    bench.decide()
    return bench.store.queries.targets_of([event])


def fails(bench: Bench, target: Target) -> None:
    """Its call is refused, so that its task waits again."""
    settle(bench, target, "failed")
    bench.store.tasks.wait_again(ME, [str(target.task_id)])
    bench.restart()


def started(bench: Bench, event: str) -> list[tuple[str, str | None]]:
    found = bench.store.queries.targets_of([event])
    return [(target.workflow, target.correlation_id) for target in found if target.kind == "start"]


def test_a_start_is_made_again_and_no_other_and_no_task_takes_the_event(bench: Bench) -> None:
    bench.define(WEBHOOK)
    first, conditional, instead = decided(bench, n=2)
    waits = bench.wait()
    for target in (first, conditional, instead):
        number = "#2" if target is instead else ""
        event = replayed(bench, place_of(target))
        bench.decide()
        assert started(bench, event) == [(target.workflow, f"{event}{number}")]
        assert bench.takers(event) == []
        assert (bench.event(event).hold, bench.event(event).status) == ("no", "pending")
    assert waits.id in bench.decider.tasks


def test_a_start_that_the_webhook_no_longer_makes_leaves_the_event_ignored(bench: Bench) -> None:
    bench.define(WEBHOOK)
    first, *_ = decided(bench)
    bench.define({**WEBHOOK, "starts": [{"workflow": "second"}]})
    event = replayed(bench, place_of(first))
    bench.decide()
    assert bench.store.queries.targets_of([event]) == []
    assert bench.event(event).status == "ignored"


def test_a_completion_goes_to_the_same_task_of_the_same_workflow_only(bench: Bench) -> None:
    bench.define(WEBHOOK)
    one, other = bench.wait(), bench.wait()
    of_one, of_other, *_ = decided(bench)
    fails(bench, of_one)
    fails(bench, of_other)
    event = replayed(bench, place_of(of_other))
    bench.decide()
    assert bench.takers(event) == [other.id]
    assert started(bench, event) == []
    assert one.id in bench.decider.tasks


@pytest.mark.parametrize("restarted", [False, True])
def test_it_is_held_for_that_task_and_lets_no_other_take_it(bench: Bench, restarted: bool) -> None:
    bench.define(WEBHOOK)
    task = bench.wait()
    target, *_ = decided(bench)
    settle(bench, target, "done")
    event = replayed(bench, place_of(target))
    bench.decide()
    assert (bench.event(event).hold, started(bench, event)) == ("held", [])
    if restarted:
        bench.restart()
    bench.ms += SECOND
    stranger = bench.wait(workflow=bench.conductor.begin("flow").id)
    sibling = bench.conductor.schedule(task.workflow_id, "another_name", {})
    bench.decide()
    assert bench.takers(event) == []
    again = bench.conductor.schedule(task.workflow_id, f"{task.reference_name}__2", {})
    bench.decide()
    assert bench.takers(event) == [again.id]
    assert {stranger.id, sibling.id} <= set(bench.decider.tasks.ids())


def test_it_is_free_again_for_that_task_only_and_starts_nothing_instead(bench: Bench) -> None:
    bench.define(WEBHOOK)
    task = bench.wait()
    target, *_ = decided(bench)
    fails(bench, target)
    event = replayed(bench, place_of(target))
    bench.decide()
    [again] = bench.store.queries.targets_of([event])
    settle(bench, again, "cancelled")
    bench.wait()
    bench.decide()
    assert bench.event(event).hold == "held"
    assert len(bench.store.queries.targets_of([event])) == 1
    bench.conductor.schedule(task.workflow_id, task.reference_name, {})
    bench.decide()
    assert len(bench.takers(event)) == 2


def test_a_task_that_it_is_not_for_needs_no_search_of_the_index(bench: Bench) -> None:
    bench.define(WEBHOOK)
    task = bench.wait()
    target, start, *_ = decided(bench)
    lacking, none = replayed(bench, place_of(target)), replayed(bench, place_of(start))
    bench.wait()
    while tasks := bench.conductor.poll("me"):
        bench.decider.add_tasks(tasks)
    assert task.id not in bench.decider.tasks
    assert bench.decider.lacks_taker([bench.event(lacking)])
    assert not bench.decider.lacks_taker([bench.event(none)])
    assert json.loads(bench.event(none).payload) == {}


def test_a_number_of_the_users_own_at_a_names_end_makes_another_task(bench: Bench) -> None:
    bench.define(WEBHOOK)
    workflow = bench.conductor.begin("flow").id
    one, other = (bench.conductor.schedule(workflow, f"step__{number}", {}, in_loop=False) for number in (1, 2))
    of_one, of_other, *starts = decided(bench)
    for start in starts:
        settle(bench, start, "done")
    fails(bench, of_one)
    fails(bench, of_other)
    event = replayed(bench, place_of(of_one))
    bench.decide()
    assert bench.takers(event) == [one.id]
    assert other.id in bench.decider.tasks
    [target] = bench.store.queries.targets_of([event])
    settle(bench, target, "done")
    assert bench.event("event1").resolved_by is None, "what failed at the other task wasn't delivered"
