"""A replay to one target goes to that one, whatever else it matches."""

from __future__ import annotations

import json

from store.one_target import OneTarget
from store.records import NewEvent, Target, place_of
from tests.support.makers import ME
from tests.worker.decision.decider_bench import SECOND, Bench, settle
from tests.worker.decision.decider_bench import bench as bench

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
    new = NewEvent(
        id_,
        "w",
        bench.ms,
        payload,
        {},
        {},
        bench.ms + 600 * SECOND,
        replay_of=of,
        origin=of,
        only=only,
    )
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
    one, other = (
        bench.conductor.schedule(workflow, f"step__{number}", {}, in_loop=False)
        for number in (1, 2)
    )
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
    assert bench.event("event1").resolved_by is None, (
        "what failed at the other task wasn't delivered"
    )
