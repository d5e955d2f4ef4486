"""Calls to Conductor, against a stand-in on this machine that plays answers which were recorded
from Conductor 3.32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.stand_in import POLLED, Answer, StandIn
from worker.conductor.client import Conductor
from worker.conductor.errors import (
    ConductorError,
    Garbled,
    NotFound,
    NotNow,
    NotThere,
    OutcomeUnknown,
    Refused,
)
from worker.conductor.responses import TaskStatus, Unreadable


@pytest.mark.parametrize(
    ("garbled", "id_"),
    [
        ("nonsense", None),
        (None, None),
        (17, None),
        ({}, None),
        ({**POLLED, "taskId": 5}, None),
        ({**POLLED, "workflowInstanceId": None}, "t1"),
        ({**POLLED, "workflowType": ["flow"]}, "t1"),
        ({**POLLED, "referenceTaskName": {}}, "t1"),
        ({**POLLED, "scheduledTime": "soon"}, "t1"),
        ({**POLLED, "inputData": "none"}, "t1"),
        ({**POLLED, "workflowTask": 1}, "t1"),
    ],
)
def test_an_item_of_a_list_that_cannot_be_read_keeps_no_other_from_being_read(
    server: StandIn, conductor: Conductor, garbled: Any, id_: str | None
) -> None:
    items = [{**POLLED, "taskId": "t0"}, garbled, {**POLLED, "taskId": "t2"}]
    server.answers = [Answer(items)]
    unreadable: list[Unreadable] = []
    assert [task.id for task in conductor.poll("me", None, unreadable)] == ["t0", "t2"]
    assert [item.id for item in unreadable] == [id_]
    names = ["flow" if garbled["workflowType"] == "flow" else ""] if id_ else []
    assert [item.workflow for item in unreadable if item.id] == names


def test_a_single_task_or_workflow_that_cannot_be_read_is_garbled(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer({**POLLED, "scheduledTime": "soon"})]
    with pytest.raises(Garbled):
        conductor.waiting_task("t1")
    for tasks in ("many", [1], [{**POLLED, "taskId": None}]):
        server.answers = [Answer({"workflowId": "w1", "tasks": tasks})]
        with pytest.raises(Garbled):
            conductor.waiting_in("w1")


def test_an_answer_about_something_else_says_nothing_of_what_was_asked(
    server: StandIn, conductor: Conductor
) -> None:
    """Otherwise a task would have ended, a workflow too, and an event would start it once more."""
    calls: list[Callable[[], Any]] = [
        lambda: conductor.waiting_task("t1"),
        lambda: conductor.task("t1"),
        lambda: conductor.waiting_in("w1"),
        lambda: conductor.workflow("w1"),
        lambda: conductor.outcome("w1"),
        lambda: conductor.runs("w1"),
        lambda: conductor.goes("w1"),
        lambda: conductor.completed_by("w1", "wait", "event"),
        lambda: conductor.correlation_id("w1"),
        lambda: conductor.started("flow", "event"),
    ]
    for answer in (
        {"workflowId": 7, "taskId": [], "tasks": "many", "status": {}},
        {"workflowId": "w2", "taskId": "t2", "status": "COMPLETED", "tasks": []},
    ):
        server.answers = [Answer(answer)]
        for call in calls:
            with pytest.raises(OutcomeUnknown):
                call()


def test_an_answer_that_never_changes_is_final_and_comes_with_our_words(
    server: StandIn, conductor: Conductor
) -> None:
    message = "The payload size: 12 is greater than the permissible limit: 10 bytes"
    server.answers = [Answer({"message": message}, 500)]
    with pytest.raises(Refused) as raised:
        conductor.start("flow", None, "{}", "e1")
    assert message in str(raised.value)
    assert "BRIDGE_CONDUCTOR_PAYLOAD" in str(raised.value)


def test_a_call_that_isnt_there_or_not_allowed_is_named(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer({"message": "No static resource tasks/t1."}, 404)]
    with pytest.raises(
        OutcomeUnknown, match=r"GET /tasks/\{taskId\} isn't there.*must end with /api"
    ):
        conductor.task("t1")
    server.answers = [Answer({"message": "no"}, 403)]
    with pytest.raises(NotNow, match=r"GET /tasks/\{taskId\}: the key"):
        conductor.task("t1")


@pytest.mark.parametrize(
    ("status", "terminal"),
    [
        ("SCHEDULED", False),
        ("IN_PROGRESS", False),
        ("COMPLETED", True),
        ("CANCELED", True),
        ("TIMED_OUT", True),
    ],
)
def test_the_status_of_a_task(
    server: StandIn, conductor: Conductor, status: str, terminal: bool
) -> None:
    server.answers = [Answer({**POLLED, "status": status, "workerId": "event"})]
    assert conductor.task("t1") == TaskStatus(terminal, "event")


def test_a_task_that_conductor_does_not_know_is_none(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"status": 404, "message": "Task not found for taskId: nope"}, 404)]
    assert conductor.task("nope") is None


@pytest.mark.parametrize(
    "message", ["Resource not found", "Task not found for taskId: t2", "No such task found by id"]
)
def test_a_404_that_does_not_name_the_task_says_nothing_of_it(
    server: StandIn, conductor: Conductor, message: str
) -> None:
    server.answers = [Answer({"statusCode": 404, "message": message}, 404)]
    with pytest.raises(NotThere):
        conductor.task("t1")


def test_an_empty_answer_to_a_completion_means_that_none_was_pending(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer("", kind="text/plain")]
    assert conductor.complete("w1", "wait", "t1", "{}", "event") is None
    assert server.last.body == {}


def test_a_task_whose_name_fits_no_path_is_completed_by_its_id(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [
        Answer("t1", kind="text/plain"),
        Answer({"status": 404, "message": "No such task"}, 404),
    ]
    for name in ("a/b", ".."):
        assert conductor.complete("w1", name, "t1", '{"a": 1}', "event") is None
    assert (server.last.method, server.last.path) == ("POST", "/api/tasks")
    assert server.last.body == {
        "taskId": "t1",
        "workflowInstanceId": "w1",
        "status": "COMPLETED",
        "workerId": "event",
        "outputData": {"a": 1},
    }


def test_a_start_carries_its_correlation_id_also_as_key_of_idempotency(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer("w7", kind="text/plain")]
    assert conductor.start("flow", 3, '{"a":1.50}', "event#2") == "w7"
    assert (server.last.method, server.last.path) == ("POST", "/api/workflow")
    assert server.last.body == {
        "name": "flow",
        "version": 3,
        "input": {"a": 1.5},
        "correlationId": "event#2",
        "idempotencyKey": "event#2",
        "idempotencyStrategy": "RETURN_EXISTING",
    }
    conductor.start("flow", None, "{}", "event")
    assert "version" not in server.last.body


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer({"message": "No such workflow defined. name=x, version=null"}, 404), NotFound),
        (Answer({"message": "No static resource api/workflow."}, 404), NotThere),
        (Answer({"message": "No message available"}, 404), NotThere),
        (Answer({"message": "no Route matched with those values"}, 404), NotThere),  # Kong
        (Answer({"message": "Not Found"}, 404), NotThere),  # Amazon's API Gateway
        (Answer({"message": "Resource not found"}, 404), NotThere),  # Azure's API Management
        (Answer({"message": None}, 404), NotThere),  # Spring Cloud Gateway
        (Answer("<html>nothing here</html>", 404, "text/html"), NotThere),
        (Answer("", 404), NotThere),
        (Answer("", 405), NotThere),
        (Answer({"message": "Request method 'POST' not supported"}, 500), NotThere),
        (Answer({"message": "bad"}, 400), Refused),
        (Answer({"message": "conflict"}, 409), Refused),
        (Answer("", 413), Refused),
        (Answer("", 401), NotNow),
        (Answer({"message": "no permission"}, 403), NotNow),
        (Answer("slow down", 429), NotNow),
        (Answer("whose proxy is this?", 407), NotNow),
        (Answer("another server's name", 421), NotNow),
        (Answer("", 408), OutcomeUnknown),
        (Answer({"message": "oops"}, 500), OutcomeUnknown),
        (Answer("", 502), OutcomeUnknown),
        (Answer("", 503), OutcomeUnknown),
        (Answer("moved", 302, headers={"Location": "http://127.0.0.1:1/"}), OutcomeUnknown),
        (Answer("<html>welcome</html>", 200, "text/html"), OutcomeUnknown),
        (Answer({}), OutcomeUnknown),
        (Answer("w1", close="before"), OutcomeUnknown),
    ],
)
def test_what_an_answer_to_a_start_means(
    server: StandIn, conductor: Conductor, answer: Answer, error: type[ConductorError]
) -> None:
    server.answers = [answer]
    with pytest.raises(ConductorError) as raised:
        conductor.start("flow", None, "{}", "event")
    assert type(raised.value) is error
    assert len(server.requests) == 1, "one request for one call"


def test_what_is_no_answer_of_conductors_is_no_empty_queue_and_no_end_of_a_task(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer("<html>welcome</html>", 200, "text/html")]
    calls: list[Callable[[], Any]] = [
        lambda: conductor.poll("me"),
        lambda: list(conductor.waiting_ids_since(0)),
        lambda: conductor.ended_since(0),
        lambda: conductor.task("t"),
        lambda: conductor.workflow("w"),
        lambda: conductor.started("flow", "event"),
        lambda: conductor.complete("w", "wait", "t1", "{}", "event"),
    ]
    for call in calls:
        with pytest.raises(OutcomeUnknown):
            call()
