"""When Conductor is asked for the tasks of callbacks' events: few at a time, and none waits for all
others."""

from __future__ import annotations

from typing import Any

from tests.worker.decision.decider_bench import SECOND, Bench
from tests.worker.decision.decider_bench import bench as bench
from tests.worker.decision.test_callbacks import BY_ID, SIGNED, called
from tests.worker.play import Later, Now
from worker.decision.callbacks import Callbacks


def lookups(bench: Bench, pool: Later | None = None) -> Callbacks:
    source: Any = bench.conductor
    return Callbacks(source, pool or Now(), bench, clock=bench)


def pass_time(bench: Bench, callbacks: Callbacks, milliseconds: int) -> set[str]:
    """The events that are looked up meanwhile."""
    found: set[str] = set()
    for _ in range(milliseconds // 10):
        bench.ms += 10
        found |= {answer.event.id for answer in callbacks.looked_up()}
    return found


def test_made_up_urls_are_looked_up_few_at_a_time_and_hold_up_no_signed_one(bench: Bench) -> None:
    bench.define(BY_ID, SIGNED | {"name": "signed"})
    pool, conductor = Later(), bench.conductor
    source: Any = conductor
    callbacks = Callbacks(source, pool, bench, clock=bench)
    for number in range(600):
        called(bench, f"made-up{number}", "approve")
    for event in bench.store.decisions.agenda(1000).undecided:
        callbacks.add(event, is_signed=False)
    assert callbacks.is_full("w")
    for _ in range(100):
        callbacks.looked_up()
    assert len(pool.jobs) == 1, "one at once, and the next only after a while"
    signed = called(bench, conductor.begin("flow").id, "approve", webhook="signed")
    callbacks.add(bench.event(signed), is_signed=True)
    callbacks.looked_up()
    assert len(pool.jobs) == 2
    before = len(conductor.workflow_lookups)
    for _ in range(10 * 100):  # ten seconds
        bench.ms += 10
        callbacks.looked_up()
        pool.run_all()
    made_up = [id_ for id_ in conductor.workflow_lookups[before:] if id_.startswith("made-up")]
    assert 100 < len(made_up) <= 251


def test_made_up_ids_of_one_webhook_hold_up_no_other_one(bench: Bench) -> None:
    bench.define(BY_ID, BY_ID | {"name": "v"})
    callbacks = lookups(bench)
    for number in range(600):
        callbacks.add(bench.event(called(bench, f"made-up{number}", "approve")), is_signed=False)
    event = called(bench, bench.conductor.begin("flow").id, "approve", webhook="v")
    assert callbacks.is_full("w")
    callbacks.add(bench.event(event), is_signed=False)
    assert event in pass_time(bench, callbacks, 100)


def test_one_that_just_came_waits_for_none_of_many_that_were_there(bench: Bench) -> None:
    bench.define(SIGNED)
    workflow = bench.conductor.begin("flow").id
    for number in range(500):
        called(bench, bench.conductor.begin("flow").id, f"task{number}")
    bench.ms += 60 * SECOND
    callbacks = lookups(bench)
    held = bench.store.decisions.agenda(1000).undecided
    for event in held:  # as after a restart
        callbacks.add(event, is_signed=True)
    for _ in range(2):
        new = called(bench, workflow, "new")
        callbacks.add(bench.event(new), is_signed=True)
        found = pass_time(bench, callbacks, 50)
        assert new in found
        assert {event.id for event in held} <= found | pass_time(bench, callbacks, 10 * SECOND), (
            "nor do they wait for it"
        )
        callbacks.look_up_all_again()  # as after the definitions have changed


def test_look_ups_that_hang_leave_room_for_others(bench: Bench) -> None:
    bench.define(SIGNED)
    sick, sound = (
        [bench.conductor.begin("flow").id for _ in range(20)],
        bench.conductor.begin("flow").id,
    )
    pool = Later()
    callbacks = lookups(bench, pool)
    for workflow in sick:
        callbacks.add(bench.event(called(bench, workflow, "task")), is_signed=True)
    held = called(bench, sound, "held")
    callbacks.add(bench.event(held), is_signed=True)
    bench.conductor.sick.update(sick)
    for _ in range(100):
        pass_time(bench, callbacks, 10)
        pool.run_all()
    pass_time(bench, callbacks, 60 * SECOND)  # from now on each hangs
    assert 0 < len(pool.jobs) < 8
    new = called(bench, bench.conductor.begin("flow").id, "new")
    callbacks.add(bench.event(new), is_signed=True)
    pass_time(bench, callbacks, 50)
    pool.jobs[-1]()
    assert pass_time(bench, callbacks, 10) == {new}
