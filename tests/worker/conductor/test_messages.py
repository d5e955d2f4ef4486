"""The calls about message queues: what is sent, and what each answer means."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.stand_in import Answer, StandIn
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotFound, Refused
from worker.conductor.messages import Messages

GONE = Answer({"message": "No such workflow found by id: w1"}, 404)


@pytest.fixture
def messages(conductor: Conductor) -> Messages:
    return conductor.messages


def about(event_id: str) -> dict[str, Any]:
    return {"a": 1, "_webhook": {"eventId": event_id}}


def test_the_newest_workflow_with_a_key_comes_first(server: StandIn, messages: Messages) -> None:
    found = [{"workflowId": f"w{at}", "status": "RUNNING", "createTime": at} for at in (1, 3, 2)]
    server.answers = [Answer({"k": found})]
    assert [one.id for one in messages.with_key("agent", "k", ended=True)] == ["w3", "w2", "w1"]
    assert (server.last.method, server.last.path) == ("POST", "/api/workflow/agent/correlated")
    assert server.last.body == ["k"]


@pytest.mark.parametrize(
    "answer", [{"other": []}, {"k": [1]}, {"k": [{"workflowId": "w1"}]}, [], "text"]
)
def test_an_answer_about_something_else_is_none(
    server: StandIn, messages: Messages, answer: Any
) -> None:
    server.answers = [Answer(answer)]
    with pytest.raises(ConductorError):
        messages.with_key("agent", "k", ended=True)


@pytest.mark.parametrize(
    "answer", [{}, {"workflowId": "w1"}, {"workflowId": "w2", "status": "COMPLETED"}, "text"]
)
def test_no_workflow_has_ended_because_of_an_answer_that_doesnt_say_so(
    server: StandIn, messages: Messages, answer: Any
) -> None:
    """Otherwise another would be started for its messages."""
    server.answers = [Answer(answer)]
    with pytest.raises(ConductorError):
        messages.status("w1")


def pulled(*event_ids: str) -> dict[str, Any]:
    messages = [{"payload": about(event_id)} for event_id in event_ids]
    return {"taskType": "PULL_WORKFLOW_MESSAGES", "outputData": {"messages": messages}}


@pytest.mark.parametrize(
    ("status", "tasks", "unread"),
    [
        ("RUNNING", [], None),
        ("PAUSED", [pulled("e1")], None),
        ("COMPLETED", [], ["e1", "e2", "e3"]),
        ("FAILED", [pulled("e1"), pulled("e2")], ["e3"]),
        ("TERMINATED", [pulled("e2")], ["e3"]),  # its loop keeps only its last tasks
        ("COMPLETED", [pulled("e1", "e2", "e3")], []),
        (
            "COMPLETED",
            [pulled("e1") | {"externalOutputPayloadStoragePath": "task/output/1.json"}],
            [],
        ),
    ],
)
def test_what_an_ended_workflow_left_unread_is_what_came_after_the_last_that_it_read(
    server: StandIn, messages: Messages, status: str, tasks: list[Any], unread: list[str] | None
) -> None:
    """Its own input counts as read."""
    server.answers = [
        Answer({"workflowId": "w1", "status": status, "tasks": tasks, "input": about("e0")})
    ]
    assert messages.unread("w1", ["e0", "e1", "e2", "e3"]) == unread


def test_a_workflow_that_is_gone_has_no_status_and_has_pulled_nothing(
    server: StandIn, messages: Messages
) -> None:
    server.answers = [GONE]
    with pytest.raises(NotFound):
        messages.unread("w1", ["e1"])
    assert messages.status("w1") is None
    assert not messages.was_pulled("w1", "e1")


@pytest.mark.parametrize(
    ("status", "body", "on"),
    [
        (405, '{"status":405,"message":"Request method \'GET\' is not supported"}', True),
        (
            404,
            '{"status":404,"message":"No static resource api/workflow/x/messages for request"}',
            False,
        ),
        (404, "", False),
    ],
)
def test_whether_queues_are_on_is_seen_by_the_method_that_they_lack(
    server: StandIn, messages: Messages, status: int, body: str, on: bool
) -> None:
    server.answers = [Answer(body, status)]
    assert messages.are_on() == on
    assert (server.last.method, server.last.path) == (
        "GET",
        "/api/workflow/webhook-bridge-check/messages",
    )


@pytest.mark.parametrize("answer", [Answer("", 429), Answer(b"\xff"), Answer("", close="before")])
def test_whether_queues_are_on_is_not_told_by_a_server_that_is_away(
    server: StandIn, messages: Messages, answer: Answer
) -> None:
    server.answers = [answer]
    with pytest.raises(ConductorError):
        messages.are_on()


@pytest.mark.parametrize("name", ["a/b", ".", ".."])
def test_nothing_is_asked_by_a_path_that_would_be_another(
    server: StandIn, conductor: Conductor, name: str
) -> None:
    with pytest.raises(Refused, match="no path can hold that name"):
        conductor.messages.with_key(name, "k", ended=False)
    assert server.requests == []
