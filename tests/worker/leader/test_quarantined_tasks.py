"""A task that can't be used is set aside, and the others take what comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tests.store.contract.makers import ME
from tests.worker.leader.decider_bench import SECOND, Bench
from tests.worker.leader.decider_bench import bench as bench
from tests.worker.leader.refusals import aside, hold
from tests.worker.simulated import SimulatedTask
from worker.leader.task_index import WaitingTask


@contextmanager
def failing_for(bench: Bench, sick: SimulatedTask) -> Iterator[None]:
    """The look for held events fails for this task."""
    oldest_for = bench.decider.held._oldest_for

    def fail(task: WaitingTask, *more: Any) -> Any:
        if task.id == sick.id:
            raise RuntimeError
        return oldest_for(task, *more)

    with mock.patch.object(bench.decider.held, "_oldest_for", fail):
        yield


def test_a_task_whose_look_for_held_events_fails_takes_one_at_its_next_try(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    bench.ms += SECOND
    first, second = hold(bench), hold(bench)
    sick, well = bench.wait(workflow=workflow), bench.wait(workflow=workflow)
    with failing_for(bench, sick):
        bench.decide()
    assert (bench.takers(first), aside(bench)) == ([well.id], [("task", sick.id, 1)])
    bench.ms += SECOND
    bench.decide()
    assert (bench.takers(second), bench.store.quarantine.items()) == ([sick.id], [])


def test_a_task_that_was_set_aside_and_has_ended_is_forgotten(bench: Bench) -> None:
    workflow = bench.conductor.begin("flow").id
    hold(bench)
    sick = bench.wait(workflow=workflow)
    with failing_for(bench, sick):
        bench.decide()
    assert aside(bench) == [("task", sick.id, 1)]
    bench.store.tasks.drop(ME, [sick.id], bench.ms)
    bench.decider.drop_tasks([sick.id])
    bench.decide()
    assert bench.store.quarantine.items() == []
    bench.ms += 10 * SECOND
    bench.decide()
    assert sick.id not in bench.decider.tasks
