"""What Conductor says about workflows and their definitions, against a stand-in on this machine."""

from __future__ import annotations

import pytest

from tests.support.stand_in import POLLED, Answer, StandIn
from worker.conductor.client import Conductor
from worker.conductor.errors import NotFound, NotThere
from worker.conductor.responses import End


def test_a_running_workflow_shows_its_tasks_in_progress(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer(["w1"])]
    assert conductor.running("flow") == ["w1"]
    assert server.last.path == "/api/workflow/running/flow"
    waiting = {**POLLED, "taskType": "WAIT_FOR_WEBHOOK", "startTime": 7}
    others = [{**waiting, "status": "COMPLETED"}, {**waiting, "taskType": "HUMAN"}]
    server.answers = [Answer({"workflowId": "w1", "tasks": [waiting, *others]})]
    [task] = conductor.waiting_in("w1")
    assert (task.id, task.found_by) == ("t1", "index")


def test_a_task_that_no_queue_has_handed_out_for_a_minute_waits(
    server: StandIn, conductor: Conductor
) -> None:
    now = conductor.server_now()
    old = {
        **POLLED,
        "taskType": "WAIT_FOR_WEBHOOK",
        "status": "SCHEDULED",
        "scheduledTime": now - 61_000,
    }
    young = {**old, "taskId": "t2", "scheduledTime": now - 30_000}
    put_off = {**old, "taskId": "t3", "callbackAfterSeconds": 300}
    elsewhere = {**old, "taskId": "t4", "domain": "others"}
    server.answers = [Answer({"workflowId": "w1", "tasks": [old, young, put_off, elsewhere]})]
    [task] = conductor.waiting_in("w1")
    assert (task.id, task.found_by) == (old["taskId"], "queue"), "no search is needed for it"


def test_a_workflow_is_evaluated_and_goes_if_it_has_a_task_or_an_end(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer("")]
    assert conductor.evaluate("w1")
    assert (server.last.method, server.last.path) == ("PUT", "/api/workflow/decide/w1")
    server.answers = [Answer({"message": "No such workflow found by id: w1"}, 404)]
    assert not conductor.evaluate("w1")
    for workflow, goes in (
        ({"status": "RUNNING", "tasks": []}, False),
        ({"status": "RUNNING", "tasks": [{}]}, True),
        ({"status": "COMPLETED", "tasks": []}, True),
    ):
        server.answers = [Answer({"workflowId": "w1", **workflow})]
        assert conductor.goes("w1") == goes


def test_a_workflow_that_is_gone_is_none(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"status": 404, "message": "No such workflow found by id: w"}, 404)]
    assert conductor.workflow("w") is None
    assert conductor.correlation_id("w") is None


def test_a_workflows_correlation_id_is_read_without_its_tasks(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [
        Answer({"workflowId": "w", "correlationId": "event#2"}),
        Answer({"workflowId": "w"}),
    ]
    assert conductor.correlation_id("w") == "event#2"
    assert (server.last.path, server.last.query["includeTasks"]) == ("/api/workflow/w", ["False"])
    assert conductor.correlation_id("w") is None


def test_a_definition_is_that_of_the_version(server: StandIn, conductor: Conductor) -> None:
    definition = {"name": "a b", "version": 3, "tasks": []}
    server.answers = [Answer(definition)]
    assert conductor.workflow_definition("a b", 3) == definition
    assert (server.last.path, server.last.query) == (
        "/api/metadata/workflow/a b",
        {"version": ["3"]},
    )
    for name, version in (("a b", 2), ("other", 3)):
        with pytest.raises(NotThere):
            conductor.workflow_definition(name, version)


def test_the_outcome_of_a_workflow_is_its_status_and_output(
    server: StandIn, conductor: Conductor
) -> None:
    workflow = {
        "workflowId": "w1",
        "status": "COMPLETED",
        "output": {"reply": 1},
        "endTime": 9,
        "tasks": [],
    }
    apart = {**workflow, "output": {}, "externalOutputPayloadStoragePath": "b596.json"}
    server.answers = [
        Answer(workflow),
        Answer(apart),
        Answer({"workflowId": "w1", "status": "FAILED"}),
    ]
    assert conductor.outcome("w1") == End("COMPLETED", {"reply": 1}, 9)
    assert conductor.outcome("w1") == End("COMPLETED", {}, 9, is_apart=True)
    assert conductor.outcome("w1") == End("FAILED", None, None)
    assert [request.query for request in server.requests] == [{"includeTasks": ["False"]}] * 3


def test_a_workflow_that_conductor_doesnt_have_has_no_outcome_either(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer({"message": "No such workflow found by id: w1"}, status=404)]
    with pytest.raises(NotFound):
        conductor.outcome("w1")
