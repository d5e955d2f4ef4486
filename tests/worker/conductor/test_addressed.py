"""Which task of a workflow an address names."""

from __future__ import annotations

from typing import Any

import pytest

from store.one_target import callback_to
from tests.support.stand_in import Answer, StandIn
from worker.conductor.addressed import WorkflowTasks
from worker.conductor.client import Conductor

WORKFLOW = {"workflowName": "flow", "workflowVersion": 1, "status": "RUNNING"}


def task(name: str, iteration: int, status: str = "IN_PROGRESS") -> dict[str, Any]:
    waits = {
        "taskId": f"{name} {iteration}",
        "taskType": "HUMAN",
        "scheduledTime": 1,
        "status": status,
    }
    return {"referenceTaskName": name, "iteration": iteration, **waits}


def test_a_name_may_have_the_number_of_the_iteration_or_none() -> None:
    tasks = [
        task("step__1", 1, "COMPLETED"),
        task("step__2", 2),
        task("other__2", 0),
        task("step", 0, "FAILED"),
    ]
    workflow = WorkflowTasks(WORKFLOW, tasks)
    waiting = {
        name: workflow.at(callback_to("w", name)).waiting
        for name in ("step", "step__2", "other", "other__2")
    }
    ids = {name: None if place is None else place.id for name, place in waiting.items()}
    assert ids == {
        "step": "step__2 2",
        "step__2": "step__2 2",
        "other": None,
        "other__2": "other__2 0",
    }
    assert workflow.at(callback_to("w", "step__1")).over == ("COMPLETED",)


@pytest.mark.parametrize(
    ("status", "ended_at", "used_up"),
    [
        ("COMPLETED", 2000, True),
        ("COMPLETED", 1999, False),
        ("COMPLETED", None, True),
        ("FAILED", 2000, False),
    ],
)
def test_a_url_is_used_up_if_such_a_task_was_completed_since_it_was_made(
    status: str, ended_at: int | None, used_up: bool
) -> None:
    """Whatever waits now; Conductor's clock is 1,000 ms ahead."""
    tasks = [task("step__1", 1, status) | {"endTime": ended_at}, task("step__1", 1)]
    for name in ("step", "step__1"):
        found = WorkflowTasks(WORKFLOW, tasks, ahead=1000).at(callback_to("w", name, 1000))
        assert found.waiting is not None
        assert found.is_used_up == used_up
        assert found.over == (() if ended_at == 1999 else (status,))


@pytest.mark.parametrize(("ended_at", "used_up"), [(1399, False), (1400, True)])
def test_in_doubt_of_the_clocks_a_url_was_made_for_the_task_that_waits(
    server: StandIn, conductor: Conductor, ended_at: int, used_up: bool
) -> None:
    """Conductor's clock may be up to 400 ms ahead."""
    now = conductor.now()
    conductor.server_clock.observe(now, sent=now - 400, received=now)
    tasks = [task("step__1", 1, "COMPLETED") | {"endTime": ended_at}, task("step__1", 1)]
    server.answers = [Answer({**WORKFLOW, "workflowId": "w", "tasks": tasks})]
    found = conductor.workflow_tasks("w")
    assert found is not None
    assert found.at(callback_to("w", "step__1", 1000)).is_used_up == used_up


def test_a_retry_has_the_place_of_the_task_that_failed() -> None:
    """As on a real server, whose retries keep name and iteration, as do tasks of forks, also
    dynamic ones, in loops."""
    failed, retry = (
        task("step__2", 2, "FAILED"),
        task("step__2", 2) | {"taskId": "retry", "retryCount": 1},
    )
    workflow = WorkflowTasks(WORKFLOW, [failed, retry])
    for name in ("step", "step__2"):
        place = workflow.at(callback_to("w", name)).waiting
        assert place is not None
        assert (place.id, place.is_among(["step"]), place.is_among(["step__1"])) == (
            "retry",
            True,
            False,
        )
