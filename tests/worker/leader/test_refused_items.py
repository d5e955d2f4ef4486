"""Faults of one task, message or workflow hold up no other, and end no term."""

from __future__ import annotations

import threading
from typing import Any
from unittest import mock

import pytest

from config.webhooks import Definitions, Webhook
from store.errors import Unstorable
from store.records import Task
from tests.support.makers import return_tasks
from tests.support.worker_bench import Bench, leader_of
from tests.support.worker_bench import bench as bench


def refusing(bench: Bench, name: str, *task_ids: str) -> Any:
    """A method of the store that refuses these tasks."""
    method = getattr(bench.store.tasks, name)

    def refuse(*given: Any) -> Any:
        tasks = next(part for part in given if isinstance(part, (list, tuple)))
        if {task.id if isinstance(task, Task) else task for task in tasks} & set(task_ids):
            raise Unstorable("too large")
        return method(*given)

    return mock.patch.object(bench.store.tasks, name, refuse)


def test_a_task_that_the_store_refuses_holds_up_no_other_and_is_tried_again(bench: Bench) -> None:
    worker = bench.deciding()
    tasks = [bench.wait() for _ in range(3)]
    bench.arrive()
    with refusing(bench, "adopt", tasks[1]):
        worker.step()
        assert worker.leader is not None
        assert [bench.state(task) for task in tasks] == ["taken", None, "taken"]
        [item] = bench.store.quarantine.items("task")
        assert (item.id, item.reason) == (tasks[1], "Unstorable: too large")
    with mock.patch.object(bench.store, "now", return_value=item.due_at):
        worker.step()
    assert (bench.state(tasks[1]), bench.store.quarantine.items()) == ("waiting", [])


def test_a_task_that_cannot_be_dropped_or_looked_at_again_keeps_no_other_from_it(
    bench: Bench,
) -> None:
    worker = bench.deciding()
    tasks = [bench.wait() for _ in range(3)]
    worker.step()
    with refusing(bench, "drop", tasks[0]):
        leader_of(worker).drop(tasks)
    assert [bench.state(task) for task in tasks] == ["waiting", "gone", "gone"]
    returned = [Task(f"r{number}", "w", "flow", "wait", {}, 0) for number in range(3)]
    return_tasks(bench.store, *returned, term=leader_of(worker).term)
    with refusing(bench, "wait_again", "r1"):
        worker.step()
    assert [bench.state(f"r{number}") for number in range(3)] == ["waiting", "returned", "waiting"]
    [item] = bench.store.quarantine.items("task", ids=["r1"])
    early = mock.patch.object(bench.store, "now", return_value=item.due_at - 1)
    with early, mock.patch.object(bench.store.tasks, "wait_again") as wait_again:
        worker.step()
    assert wait_again.mock_calls == [], "it is tried again at its time, and not with every decision"
    with mock.patch.object(bench.store, "now", return_value=item.due_at):
        worker.step()
    assert bench.state("r1") == "waiting"


@pytest.mark.usefixtures("patient_look_ups")
def test_a_look_up_that_hangs_holds_up_no_decision_for_long(bench: Bench) -> None:
    bench.source.current = Definitions(
        (Webhook.model_validate({"name": "w", "receivers": {"flow": 1}}),)
    )
    worker = bench.deciding()
    ill, well = bench.wait(), bench.wait()
    goes_on, hanging = threading.Event(), bench.conductor.tasks[ill].workflow_id
    workflow = bench.conductor.workflow

    def hang(workflow_id: str) -> Any:
        if workflow_id == hanging:
            goes_on.wait(60)
        return workflow(workflow_id)

    bench.arrive()
    try:
        with mock.patch.object(bench.conductor, "workflow", hang):
            worker.step()
            assert not goes_on.is_set()
            targets = {
                target.task_id: target.only_versions
                for target in bench.store.queries.targets_of(["event"])
            }
            assert targets == {ill: (1,), well: None}
    finally:
        goes_on.set()
