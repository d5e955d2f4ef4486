"""Calls to Conductor, against a stand-in on this machine that plays answers which were recorded from Conductor 3.32."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from conductor.client.http.api_client import ApiClient

from testkit import PATIENCE
from worker.conductor import transport
from worker.conductor.answers import End, TaskStatus, Unreadable
from worker.conductor.bounds import Bounds
from worker.conductor.client import Conductor
from worker.conductor.connection import Connection
from worker.conductor.errors import (
    ConductorError,
    Garbled,
    NotFound,
    NotNow,
    NotThere,
    OutcomeUnknown,
    Refused,
    Unreachable,
)
from worker.conductor.search import Pages


@dataclass
class Request:
    """What the stand-in was asked."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What it says: JSON, text, or bytes; `close` breaks the connection instead, or in the middle."""

    body: Any = ""
    status: int = 200
    kind: str = "application/json"
    close: str | None = None
    wait: float = 0
    headers: dict[str, str] = field(default_factory=dict)


class StandIn:
    """Answers each request with what `answers` says: the next answer, or a function of the request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer | Callable[[Request], Answer]] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or each body would wait 40 ms until the head's arrival is confirmed

            def do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                if len(raw) < length:  # it broke off: no server does anything then
                    self.close_connection = True
                    return
                url = urlsplit(self.path)
                asked = Request(
                    self.command,
                    unquote(url.path),
                    parse_qs(url.query),
                    {name.lower(): value for name, value in self.headers.items()},
                    json.loads(raw) if raw else None,
                )
                stand_in.requests.append(asked)
                answer = stand_in.answers.pop(0) if len(stand_in.answers) > 1 else stand_in.answers[0]
                self.say(answer(asked) if callable(answer) else answer)

            def say(self, answer: Answer) -> None:
                if answer.close == "before":
                    self.hang_up()
                    return
                text = answer.body if isinstance(answer.body, (str, bytes)) else json.dumps(answer.body)
                body = text.encode() if isinstance(text, str) else text
                self.send_response(answer.status)
                for name, value in {"Content-Type": answer.kind, **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if answer.close == "middle":
                    self.wfile.write(body[: len(body) // 2])
                    self.hang_up()
                    return
                for byte in body if answer.wait else ():
                    time.sleep(answer.wait)
                    self.wfile.write(bytes([byte]))
                if not answer.wait:
                    self.wfile.write(body)

            def hang_up(self) -> None:
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            do_GET = do_POST = do_PUT = do

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Broken connections are what some tests are about."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def last(self) -> Request:
        return self.requests[-1]


@pytest.fixture
def server() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def conductor(server: StandIn) -> Conductor:
    return Conductor(server.url, Bounds(30))


def paged(server: StandIn, pages: Pages) -> Conductor:
    return Conductor(server.url, Bounds(30), pages=pages)


POLLED = {
    "taskType": "WAIT_FOR_WEBHOOK",
    "status": "IN_PROGRESS",
    "inputData": {"matches": {"$.n": 1}},
    "referenceTaskName": "wait",
    "scheduledTime": 1_700_000_000_100,
    "startTime": 1_700_000_000_200,
    "responseTimeoutSeconds": 0,
    "workflowInstanceId": "w1",
    "workflowType": "flow",
    "taskId": "t1",
    "workerId": "worker",
    "workflowTask": {"taskDefinition": {"responseTimeoutSeconds": 30}},
}


# --- waiting tasks ---


@pytest.mark.parametrize(
    ("seconds", "expected"), [("30", 0), (1.5, 0), (None, 0), (True, 0), (9_999_999_999, 9_999_999_999)]
)
def test_a_response_time_out_that_is_no_number_is_none(
    seconds: object, expected: int, server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer([POLLED | {"responseTimeoutSeconds": seconds, "workflowTask": {}}])]
    assert [task.response_timeout for task in conductor.poll("me", "billing")] == [expected]


def test_a_poll_never_waits_and_takes_a_batch(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer([POLLED])]
    [task] = conductor.poll("me", "billing")
    assert (server.last.method, server.last.path) == ("GET", "/api/tasks/poll/batch/WAIT_FOR_WEBHOOK")
    assert server.last.query == {"workerid": ["me"], "count": ["100"], "timeout": ["0"], "domain": ["billing"]}
    assert (task.id, task.workflow_id, task.workflow, task.reference_name) == ("t1", "w1", "flow", "wait")
    assert (task.matches, task.scheduled_at) == ({"$.n": 1}, 1_700_000_000_100)
    assert (task.domain, task.found_by, task.state) == ("billing", "queue", "waiting")


def test_the_response_time_out_is_that_of_the_definition_and_not_the_tasks_own_zero(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer([POLLED])]
    assert conductor.poll("me")[0].response_timeout == 30


@pytest.mark.parametrize("answer", [Answer([]), Answer("", 204), Answer("")])
def test_an_empty_queue_gives_no_tasks(server: StandIn, conductor: Conductor, answer: Answer) -> None:
    server.answers = [answer]
    assert conductor.poll("me") == []


def test_a_poll_tells_how_the_clocks_differ_also_when_a_task_was_polled_before(
    server: StandIn, conductor: Conductor
) -> None:
    ahead = int(time.time() * 1000) + 60_000
    server.answers = [Answer([{**POLLED, "startTime": 5}, {**POLLED, "startTime": ahead}])]
    conductor.poll("me")
    assert abs(conductor.server_clock.offset - 60_000) < 1000


def test_a_poll_whose_answer_breaks_off_is_not_repeated_unseen(server: StandIn, conductor: Conductor) -> None:
    for close in ("before", "middle"):
        server.requests.clear()
        server.answers = [Answer([POLLED], close=close), Answer([])]
        with pytest.raises(OutcomeUnknown):
            conductor.poll("me")
        assert len(server.requests) == 1


def test_a_search_pages_by_the_start_of_the_last_and_within_one_moment_by_number(
    server: StandIn, conductor: Conductor
) -> None:
    starts = [10, 20, 20, 20, 20, 20, 30]
    tasks: list[dict[str, Any]] = [{**POLLED, "taskId": f"t{n}", "startTime": at} for n, at in enumerate(starts)]

    def found_by(asked: Request) -> Answer:
        [query], [first] = asked.query["query"], asked.query["start"]
        assert "taskType='WAIT_FOR_WEBHOOK' AND status='IN_PROGRESS'" in query
        assert asked.query["sort"] == ["startTime:ASC"]
        since = int(query.rpartition(">")[2])
        found = [task for task in tasks if task["startTime"] > since]
        return Answer({"results": found[int(first) : int(first) + 3]})

    server.answers = [found_by]
    found = [task.id for page in paged(server, Pages(3)).waiting_since(0) for task in page]
    assert found == ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]
    assert len(server.requests) < 8


def test_a_search_leaves_out_what_the_index_shows_as_ended(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"results": [POLLED, {**POLLED, "taskId": "t2", "status": "COMPLETED"}]})]
    [page] = conductor.waiting_since(0)
    assert [(task.id, task.found_by) for task in page] == [("t1", "index")]


def test_tasks_that_ended_are_found_by_their_end(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"results": [{"taskId": "t1"}, {"taskId": "t2"}]})]
    assert conductor.ended_since(5) == {"t1", "t2"}
    assert server.last.path == "/api/tasks/search"
    assert server.last.query["query"] == ["taskType='WAIT_FOR_WEBHOOK' AND endTime>5"]


def test_a_task_that_goes_on_has_not_ended_whatever_its_end_says(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"results": [{"taskId": "t1", "status": "IN_PROGRESS"}]})]
    assert conductor.ended_since(5) == set()


def test_summaries_give_ids_and_names_and_page_by_times_as_texts(server: StandIn, conductor: Conductor) -> None:
    def found_by(asked: Request) -> Answer:
        since = int(asked.query["query"][0].rpartition(">")[2])
        found = [
            {
                "taskId": f"t{second}",
                "workflowType": "flow" if second % 2 else None,
                "status": "IN_PROGRESS",
                "startTime": f"2026-11-25T01:30:0{second}.020Z",
            }
            for second in range(5)
            if 1795570200020 + 1000 * second > since
        ]
        return Answer({"results": found[: int(asked.query["size"][0])]})

    server.answers = [found_by]
    found = [item for page in paged(server, Pages(3)).waiting_ids_since(0) for item in page.items()]
    assert found == [("t0", ""), ("t1", "flow"), ("t2", ""), ("t3", "flow"), ("t4", "")]
    assert {request.path for request in server.requests} == {"/api/tasks/search"}


@pytest.mark.parametrize(("quick", "sizes"), [(60, [2, 4, 5, 5]), (-1, [2] * 11)])
def test_pages_of_ids_grow_while_they_come_quickly(
    server: StandIn, conductor: Conductor, quick: float, sizes: list[int]
) -> None:
    def found_by(asked: Request) -> Answer:
        since = int(asked.query["query"][0].rpartition(">")[2])
        found = [
            {"taskId": f"t{at:02}", "status": "IN_PROGRESS", "startTime": 10 * at}
            for at in range(1, 12)
            if 10 * at > since
        ]
        return Answer({"results": found[: int(asked.query["size"][0])]})

    server.answers = [found_by]
    conductor = paged(server, Pages(2, 5, quick))
    found = [task_id for page in conductor.waiting_ids_since(0) for task_id in page]
    assert found == [f"t{at:02}" for at in range(1, 12)]
    assert [int(request.query["size"][0]) for request in server.requests] == sizes


def listing(tasks: list[dict[str, Any]], sick: set[str]) -> Callable[[Request], Answer]:
    """Answers searches among these tasks, and 500 to each page that has a sick one; ids can be had of all."""

    def found_by(asked: Request) -> Answer:
        [query], [first], [size] = asked.query["query"], asked.query["start"], asked.query["size"]
        since = int(query.rpartition(">")[2])
        found = [task for task in tasks if task["startTime"] > since][int(first) : int(first) + int(size)]
        if asked.path.endswith("v2") and any(task["taskId"] in sick for task in found):
            return Answer({"message": "Error"}, 500)
        return Answer({"results": found})

    return found_by


@pytest.mark.parametrize("starts", [list(range(10, 30)), [10] * 20, [10, 11] * 10])
def test_a_page_that_cannot_be_had_is_narrowed_down_to_the_task_that_is_to_blame(
    server: StandIn, conductor: Conductor, starts: list[int]
) -> None:
    tasks = [{**POLLED, "taskId": f"t{n:02}", "startTime": at} for n, at in enumerate(sorted(starts))]
    server.answers = [listing(tasks, {"t03", "t04", "t19"})]
    unreadable: list[Unreadable] = []
    found = [task.id for page in paged(server, Pages(8)).waiting_since(0, unreadable) for task in page]
    assert sorted(set(found)) == [f"t{n:02}" for n in range(20) if n not in (3, 4, 19)]
    assert {(item.id, item.workflow) for item in unreadable} == {(id_, "flow") for id_ in ("t03", "t04", "t19")}


def test_a_search_that_fails_for_any_task_is_not_narrowed(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"message": "not supported"}, 500)]
    with pytest.raises(OutcomeUnknown):
        list(conductor.waiting_since(0))
    assert len(server.requests) == 2


def test_a_search_is_narrowed_only_so_often(server: StandIn, conductor: Conductor) -> None:
    tasks = [{**POLLED, "taskId": f"t{n:03}", "startTime": n + 1} for n in range(300)]
    server.answers = [listing(tasks, {task["taskId"] for task in tasks})]
    with pytest.raises(OutcomeUnknown):
        list(conductor.waiting_since(0))


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
    for answer, call in (
        (Answer(items), lambda found: conductor.poll("me", None, found)),
        (
            Answer({"results": items}),
            lambda found: [task for page in conductor.waiting_since(0, found) for task in page],
        ),
    ):
        server.answers = [answer]
        unreadable: list[Unreadable] = []
        assert [task.id for task in call(unreadable)] == ["t0", "t2"]
        assert [item.id for item in unreadable] == [id_]
        names = ["flow" if garbled["workflowType"] == "flow" else ""] if id_ else []
        assert [item.workflow for item in unreadable if item.id] == names


def test_a_single_task_or_workflow_that_cannot_be_read_is_garbled(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({**POLLED, "scheduledTime": "soon"})]
    with pytest.raises(Garbled):
        conductor.waiting_task("t1")
    for tasks in ("many", [1], [{**POLLED, "taskId": None}]):
        server.answers = [Answer({"workflowId": "w1", "tasks": tasks})]
        with pytest.raises(Garbled):
            conductor.waiting_in("w1")


def test_an_answer_about_something_else_says_nothing_of_what_was_asked(server: StandIn, conductor: Conductor) -> None:
    """Otherwise a task would have ended, a workflow too, and an event would start it once more."""
    calls: list[Callable[[], Any]] = [
        lambda: conductor.waiting_task("t1"),
        lambda: conductor.task("t1"),
        lambda: conductor.waiting_in("w1"),
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


def test_an_answer_that_is_not_utf_8_is_not_read_as_something_else(server: StandIn, conductor: Conductor) -> None:
    task = json.dumps({**POLLED, "inputData": {"matches": {"$.n": "caf?"}}}).encode().replace(b"caf?", b"caf\xe9")
    server.answers = [Answer(task)]
    with pytest.raises(Garbled):
        conductor.waiting_task("t1")


def test_an_answer_that_is_too_large_is_not_read_to_its_end(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({**POLLED, "outputData": {"much": "x" * 5000}})]
    with pytest.raises(Garbled):
        Conductor(server.url, Bounds(30, largest_answer=4000)).waiting_task("t1")
    assert conductor.waiting_task("t1") is not None


def test_of_one_answer_less_may_be_read_than_of_others(server: StandIn, conductor: Conductor) -> None:
    much = [{"workflowId": "w1", "status": "COMPLETED", "input": {"much": "x" * 5000}}]
    server.answers = [Answer({"k": much}), Answer({"k": much})]
    with pytest.raises(Garbled):
        conductor.messages.with_key("agent", "k", ended=True, largest=4000)
    assert [one.id for one in conductor.messages.with_key("agent", "k", ended=True)] == ["w1"]


def test_whoever_reads_may_wait_for_less_than_the_time_out(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer(POLLED, wait=60)]
    with pytest.raises(OutcomeUnknown):
        conductor.within(0.1).waiting_task("t1")
    server.answers = [Answer(POLLED)]
    assert conductor.waiting_task("t1") is not None


def test_a_running_workflow_shows_its_tasks_in_progress(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer(["w1"])]
    assert conductor.running("flow") == ["w1"]
    assert server.last.path == "/api/workflow/running/flow"
    waiting = {**POLLED, "taskType": "WAIT_FOR_WEBHOOK", "startTime": 7}
    others = [{**waiting, "status": "COMPLETED"}, {**waiting, "taskType": "HUMAN"}]
    server.answers = [Answer({"workflowId": "w1", "tasks": [waiting, *others]})]
    [(task, started)] = conductor.waiting_in("w1")
    assert (task.id, task.found_by, started) == ("t1", "index", 7)


def test_a_workflow_is_evaluated_and_goes_if_it_has_a_task_or_an_end(server: StandIn, conductor: Conductor) -> None:
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


def test_a_failed_task_says_why(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"status": "FAILED_WITH_TERMINAL_ERROR", "reasonForIncompletion": "too large"})]
    assert conductor.task("t1") == TaskStatus(True, None, "too large")


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        ("The payload size: 12 is greater than the permissible limit: 10 bytes", "BRIDGE_CONDUCTOR_PAYLOAD"),
        ("JSON parse error: String value length (2) exceeds the maximum allowed (1)", "JSON parser"),
        ("ERROR: unsupported Unicode escape sequence", "NUL"),
    ],
)
def test_an_answer_that_never_changes_is_final_and_comes_with_our_words(
    server: StandIn, conductor: Conductor, message: str, ours: str
) -> None:
    server.answers = [Answer({"message": message}, 500)]
    with pytest.raises(Refused) as raised:
        conductor.start("flow", None, "{}", "e1")
    assert message in str(raised.value)
    assert ours in str(raised.value)


def test_a_call_that_isnt_there_or_not_allowed_is_named(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"message": "No static resource tasks/t1."}, 404)]
    with pytest.raises(OutcomeUnknown, match=r"GET /tasks/\{id\} isn't there.*must end with /api"):
        conductor.task("t1")
    server.answers = [Answer({"message": "no"}, 403)]
    with pytest.raises(NotNow, match=r"GET /tasks/\{id\}: the key"):
        conductor.task("t1")


def test_extending_a_lease_leaves_the_task_in_progress_and_out_of_the_queue(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer("t1", kind="text/plain")]
    conductor.extend_lease("t1", "w1")
    assert server.last.path == "/api/tasks"
    assert server.last.body == {
        "taskId": "t1",
        "workflowInstanceId": "w1",
        "status": "IN_PROGRESS",
        "extendLease": True,
    }


@pytest.mark.parametrize(
    ("status", "terminal"),
    [("SCHEDULED", False), ("IN_PROGRESS", False), ("COMPLETED", True), ("CANCELED", True), ("TIMED_OUT", True)],
)
def test_the_status_of_a_task(server: StandIn, conductor: Conductor, status: str, terminal: bool) -> None:
    server.answers = [Answer({**POLLED, "status": status, "workerId": "event"})]
    assert conductor.task("t1") == TaskStatus(terminal, "event")


def test_a_task_that_conductor_does_not_know_is_none(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"status": 404, "message": "Task not found for taskId: nope"}, 404)]
    assert conductor.task("nope") is None


# --- targets ---


def test_a_completion_goes_by_name_with_the_bare_payload_and_names_the_event(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer("t1", kind="text/plain")]
    assert conductor.complete("w1", "wait for/it__2", '{"a": {"b": 1.0}}', "event") == "t1"
    assert server.last.path == "/api/tasks/w1/wait for/it__2/COMPLETED"
    assert server.last.query == {"workerid": ["event"]}
    assert server.last.body == {"a": {"b": 1.0}}


def test_an_empty_answer_to_a_completion_means_that_none_was_pending(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer("", kind="text/plain")]
    assert conductor.complete("w1", "wait", "{}", "event") is None
    assert server.last.body == {}


def test_a_start_carries_its_correlation_id_also_as_key_of_idempotency(server: StandIn, conductor: Conductor) -> None:
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


@pytest.mark.parametrize("call", ["start", "complete"])
def test_the_client_does_not_go_through_what_a_payload_holds(
    server: StandIn, conductor: Conductor, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[Any] = []
    copy = ApiClient.sanitize_for_serialization
    monkeypatch.setattr(
        ApiClient, "sanitize_for_serialization", lambda self, value: copied.append(value) or copy(self, value)
    )
    server.answers = [Answer("w7", kind="text/plain")]
    payload = json.dumps([{"a": n} for n in range(1000)])
    if call == "start":
        conductor.start("flow", None, f'{{"all": {payload}}}', "event")
    else:
        conductor.complete("w", "wait", f'{{"all": {payload}}}', "event")
    body = server.last.body
    assert len((body["input"] if call == "start" else body)["all"]) == 1000
    assert len(copied) < 100, "it would take longer than a claim is fresh"


def test_an_earlier_start_is_found_by_its_correlation_id_also_when_it_has_ended(
    server: StandIn, conductor: Conductor
) -> None:
    server.answers = [Answer({"event#2": [{"workflowId": "w7"}]}), Answer({"event#2": []})]
    assert conductor.started("on push", "event#2") == "w7"
    assert server.last.path == "/api/workflow/on push/correlated"
    assert server.last.query["includeClosed"] == ["true"]
    assert server.last.body == ["event#2"]
    assert conductor.started("on push", "event#2") is None


def test_of_a_sub_workflow_the_root_is_looked_up(server: StandIn, conductor: Conductor) -> None:
    workflows = {
        "child": {"workflowId": "child", "workflowVersion": 2, "parentWorkflowId": "middle", "startTime": 30},
        "middle": {"workflowId": "middle", "workflowVersion": 1, "parentWorkflowId": "root", "startTime": 20},
        "root": {"workflowId": "root", "workflowVersion": 5, "startTime": 10, "correlationId": "event"},
    }
    server.answers = [lambda asked: Answer(workflows[asked.path.rpartition("/")[2]])]
    found = conductor.workflow("child")
    assert found is not None
    assert (found.id, found.version, found.root_id, found.root_started_at) == ("child", 2, "root", 10)
    assert found.root_correlation_id == "event"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"workflowId": "another", "workflowVersion": 1, "startTime": 1},
        {"workflowId": "w", "workflowVersion": "1", "startTime": 1},
        {"workflowId": "w", "workflowVersion": 1},
        {"workflowId": "w", "workflowVersion": 1, "startTime": "today"},
    ],
)
def test_an_answer_that_is_not_the_workflow_decides_nothing(server: StandIn, conductor: Conductor, answer: Any) -> None:
    server.answers += [Answer(answer)]
    with pytest.raises(NotThere):
        conductor.workflow("w")


def test_the_version_of_a_workflow_is_shown_alone(server: StandIn, conductor: Conductor) -> None:
    server.answers += [Answer({"workflowId": "w", "workflowVersion": 3})]
    server.answers += [Answer({"status": 404, "message": "No such workflow found by id: w"}, 404), Answer({}, 500)]
    assert conductor.version("w") == 3
    assert conductor.version("w") is None
    with pytest.raises(OutcomeUnknown):
        conductor.version("w")


def test_a_workflow_that_is_gone_is_none(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"status": 404, "message": "No such workflow found by id: w"}, 404)]
    assert conductor.workflow("w") is None
    assert conductor.correlation_id("w") is None


def test_a_workflows_correlation_id_is_read_without_its_tasks(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"workflowId": "w", "correlationId": "event#2"}), Answer({"workflowId": "w"})]
    assert conductor.correlation_id("w") == "event#2"
    assert (server.last.path, server.last.query["includeTasks"]) == ("/api/workflow/w", ["false"])
    assert conductor.correlation_id("w") is None


def test_whether_an_event_completed_a_task_of_that_name(server: StandIn, conductor: Conductor) -> None:
    tasks = [{"referenceTaskName": "wait", "workerId": "one"}, {"referenceTaskName": "wait", "workerId": "two"}]
    server.answers = [Answer({"workflowId": "w", "tasks": tasks})]
    assert conductor.completed_by("w", "wait", "two")
    assert not conductor.completed_by("w", "wait", "three")
    assert not conductor.completed_by("w", "other", "two")


# --- what went wrong ---


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer({"message": "No such workflow defined. name=x, version=null"}, 404), NotFound),
        (Answer({"message": "No static resource api/workflow."}, 404), NotThere),
        (Answer({"message": "No message available"}, 404), NotThere),
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
        lambda: list(conductor.waiting_since(0)),
        lambda: conductor.ended_since(0),
        lambda: conductor.task("t"),
        lambda: conductor.workflow("w"),
        lambda: conductor.started("flow", "event"),
        lambda: conductor.complete("w", "wait", "{}", "event"),
    ]
    for call in calls:
        with pytest.raises(OutcomeUnknown):
            call()


def test_where_nobody_listens_nothing_has_happened() -> None:
    with pytest.raises(Unreachable):
        Conductor("http://127.0.0.1:1/api", Bounds(1)).poll("me")


def test_certificates_are_read_only_for_tls(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread has a connection of its own, and to read those of all authorities takes longer than most calls."""
    monkeypatch.setattr("ssl.SSLContext", mock.Mock(side_effect=AssertionError("certificates are read")))
    server.answers = [Answer([])]
    assert Conductor(server.url, Bounds(30)).poll("me") == []


def test_an_error_of_tls_leaves_open_what_has_happened(conductor: Conductor) -> None:
    error = ssl.SSLError("bad record MAC")
    with mock.patch.object(Connection, "exchange", side_effect=error), pytest.raises(OutcomeUnknown):
        conductor.start("flow", None, "{}", "event")


def test_a_call_that_takes_too_long_is_given_up(server: StandIn, conductor: Conductor) -> None:
    conductor = Conductor(server.url, Bounds(0.2))
    server.answers = [Answer("a long answer that comes byte by byte", wait=0.5)]
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match=r"^Conductor gave no complete answer within 0\.2 s$"):
        conductor.start("flow", None, "{}", "event")
    assert time.monotonic() - began < 10, "byte by byte it would be 20 seconds"


def test_an_answer_whose_head_comes_byte_by_byte_is_given_up_as_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peers: list[socket.socket] = []

        def trickle() -> None:
            peer, _ = listener.accept()
            peers.append(peer)
            with suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"-" * 1000:
                    peer.sendall(bytes([byte]))
                    time.sleep(0.02)

        threading.Thread(target=trickle, daemon=True).start()
        conductor = Conductor(f"http://127.0.0.1:{listener.getsockname()[1]}/api", Bounds(0.5))
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown, match=r"^Conductor gave no complete answer within 0\.5 s$"):
            conductor.start("flow", None, "{}", "event")
        assert time.monotonic() - began < 10, "byte by byte it would be 20 seconds"
        for peer in peers:
            peer.close()


def test_all_threads_share_one_context_of_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []
    monkeypatch.setattr(transport, "Connection", lambda url, tls: used.append(tls) or Connection(url, tls))
    conductor = Conductor("https://127.0.0.1:1/api", Bounds(5))

    def call() -> None:
        with pytest.raises(Unreachable):
            conductor.task("t1")

    for _ in range(3):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    assert len(used) == 3
    assert isinstance(used[0], ssl.SSLContext)
    assert len(set(used)) == 1
    assert used[0].verify_mode is ssl.CERT_REQUIRED
    assert used[0].check_hostname


def test_an_authority_that_is_new_since_the_process_started_is_trusted(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a secret of Kubernetes, whose files are replaced while the pod runs."""
    for name in ("old", "new"):
        subprocess.run(
            f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
            f" -keyout {name}.key -out {name}.crt".split(),
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    authorities = tmp_path / "authorities.crt"
    authorities.write_bytes((tmp_path / "old.crt").read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
    monkeypatch.setattr("worker.conductor.transport._TRUST_EVERY", 0.0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "new.crt", tmp_path / "new.key")
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
    server.answers = [Answer([])]
    conductor = Conductor(server.url.replace("http:", "https:"), Bounds(PATIENCE))
    with pytest.raises(ConductorError, match="CERTIFICATE_VERIFY_FAILED"):
        conductor.poll("me")
    authorities.write_bytes((tmp_path / "new.crt").read_bytes())
    with pytest.raises(ConductorError, match="CERTIFICATE_VERIFY_FAILED"):
        conductor.poll("me")
    assert conductor.poll("me") == []


def test_a_header_cannot_hold_a_line_break(server: StandIn) -> None:
    """Else whoever chooses a token would choose the rest of the request."""
    server.answers = [Answer([])]
    sender = transport.Transport(server.url, Bounds(PATIENCE), None)
    for value in ("a\r\nX-Other: b", "a\nb", "a\rb"):
        with pytest.raises(ValueError, match="line break"):
            sender.send("GET", "/api/tasks", {"X-Authorization": value})
    assert server.requests == []


def test_a_connection_that_took_too_long_carries_no_request(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer("w1")]
    with pytest.raises(Unreachable):
        Conductor(server.url, Bounds(5, connect_timeout=-1)).start("flow", None, "{}", "event")
    assert server.requests == []


def test_a_request_never_leaves_after_its_time(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer("w1")]
    with pytest.raises(NotNow):
        conductor.start("flow", None, "{}", "event", not_after=time.monotonic() - 0.001)
    with pytest.raises(NotNow):
        conductor.complete("w", "wait", "{}", "event", not_after=time.monotonic() - 0.001)
    with pytest.raises(NotNow):
        conductor.poll("me", not_after=time.monotonic() - 0.001)
    assert server.requests == []
    assert conductor.start("flow", None, "{}", "event") == "w1", "the limit was that call's alone"


@pytest.mark.parametrize(("frozen", "moment"), [(Connection, "connect"), (socket.socket, "sendall")])
def test_a_process_that_freezes_before_all_of_a_request_is_sent_sends_no_more_when_it_wakes(
    server: StandIn, conductor: Conductor, frozen: type, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [Answer("w1")]
    go_on = getattr(frozen, moment)
    large = json.dumps({"text": "x" * 100_000})

    def freeze(*given: Any) -> None:
        go_on(*given)  # the connection is there, or the first piece is sent
        time.sleep(0.3)

    with monkeypatch.context() as patch:
        patch.setattr(frozen, moment, freeze)
        with pytest.raises(NotNow, match="too late"):
            conductor.start("flow", None, large, "event", not_after=time.monotonic() + 0.2)
    assert server.requests == []
    assert conductor.start("flow", None, "{}", "event") == "w1", "a new connection is made"
    assert len(server.requests) == 1


def test_a_process_that_freezes_while_it_connects_does_not_poll_when_it_wakes(
    server: StandIn, conductor: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, now = Connection.connect, time.monotonic

    def freeze(*given: Any) -> None:
        connect(*given)
        monkeypatch.setattr(time, "monotonic", lambda: now() + 3600)

    monkeypatch.setattr(Connection, "connect", freeze)
    with pytest.raises(NotNow, match="too late"):
        conductor.poll("me", not_after=now() + 1800)
    assert server.requests == []


def test_a_call_has_ended_when_its_longest_time_is_over() -> None:
    assert Conductor("http://127.0.0.1:1/api", Bounds(10)).longest_call == 13
    assert Conductor("http://127.0.0.1:1/api", Bounds(1)).longest_call == 2


# --- access keys ---


def test_with_keys_every_call_carries_a_token_that_was_asked_for_once(server: StandIn) -> None:
    conductor = Conductor(server.url, Bounds(30), "key", "secret")
    server.answers = [lambda asked: Answer({"token": "the token"}) if asked.path == "/api/token" else Answer([])]
    conductor.poll("me")
    thread = threading.Thread(target=conductor.poll, args=("me",))
    thread.start()
    thread.join()
    asked = [request for request in server.requests if request.path == "/api/token"]
    assert [request.body for request in asked] == [{"keyId": "key", "keySecret": "secret"}]
    polls = [request for request in server.requests if request.path != "/api/token"]
    assert [request.headers["x-authorization"] for request in polls] == ["the token"] * 2


def test_a_token_that_cannot_be_had_is_asked_for_again(server: StandIn) -> None:
    conductor = Conductor(server.url, Bounds(30), "key", "secret")
    server.answers = [Answer("", 503)]
    for _ in range(7):
        with pytest.raises(NotNow, match="CONDUCTOR_AUTH_KEY"):
            conductor.poll("me")
    server.answers = [lambda asked: Answer({"token": "late"}) if asked.path == "/api/token" else Answer([])]
    conductor.poll("me")
    assert server.last.headers["x-authorization"] == "late"


def test_a_server_without_tokens_is_called_without(server: StandIn) -> None:
    conductor = Conductor(server.url, Bounds(30), "key", "secret")
    missing = Answer({"status": 404, "message": "No static resource api/token."}, 404)
    server.answers = [lambda asked: missing if asked.path == "/api/token" else Answer([])]
    for _ in range(3):
        assert conductor.poll("me") == []
    assert [request.path for request in server.requests].count("/api/token") == 1


def test_an_expired_token_is_renewed_and_the_call_made_once_more(server: StandIn) -> None:
    conductor = Conductor(server.url, Bounds(30), "key", "secret")
    tokens = iter(["old", "new"])

    def answer(asked: Request) -> Answer:
        if asked.path == "/api/token":
            return Answer({"token": next(tokens)})
        if asked.headers["x-authorization"] == "old":
            return Answer({"error": "EXPIRED_TOKEN", "message": "expired"}, 401)
        return Answer("w1", kind="text/plain")

    server.answers = [answer]
    assert conductor.start("flow", None, "{}", "event") == "w1"
    assert [request.path for request in server.requests] == ["/api/token", "/api/workflow"] * 2


def test_half_an_answer_is_no_answer(server: StandIn, conductor: Conductor) -> None:
    """Half of an id would pass for one, and nobody would find the workflow by it."""
    server.answers = [Answer("8b65bd19-2a68-4e15-aed3-ac360458c26f", kind="text/plain", close="middle")]
    with pytest.raises(OutcomeUnknown):
        conductor.start("flow", None, "{}", "event")


# --- workflow definitions ---


def test_the_workflows_are_listed_with_their_versions_in_order(server: StandIn, conductor: Conductor) -> None:
    versions = [{"name": "deploy", "version": version, "createTime": 1_700_000_000_000} for version in (2, 10, 1)]
    server.answers = [Answer({"deploy": versions, "none": []})]
    assert conductor.workflow_versions() == {"deploy": [1, 2, 10]}
    assert server.last.path == "/api/metadata/workflow/names-and-versions"


@pytest.mark.parametrize(
    "body", [[], "text", {"a": 1}, {"a": [1]}, {"a": [{"version": "x"}]}, {"a": [{"version": []}]}]
)
def test_a_list_of_workflows_that_is_none_is_garbled(body: Any, server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer(body)]
    with pytest.raises((Garbled, NotThere)):
        conductor.workflow_versions()


@pytest.mark.parametrize("odd", ["text", [1], [{"version": None}], [{"version": float("inf")}]])
def test_versions_that_cannot_be_read_hide_no_others(odd: Any, server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"odd": odd, "\ud800": [{"version": 1}], "deploy": [{"version": 1}, odd]})]
    assert conductor.workflow_versions() == {"odd": [], "deploy": [1]}


def test_a_definition_is_that_of_the_version(server: StandIn, conductor: Conductor) -> None:
    definition = {"name": "a b", "version": 3, "tasks": []}
    server.answers = [Answer(definition)]
    assert conductor.workflow_definition("a b", 3) == definition
    assert (server.last.path, server.last.query) == ("/api/metadata/workflow/a b", {"version": ["3"]})
    for name, version in (("a b", 2), ("other", 3)):
        with pytest.raises(NotThere):
            conductor.workflow_definition(name, version)


def test_the_progress_of_a_workflow_says_what_went_wrong(server: StandIn, conductor: Conductor) -> None:
    task = {"referenceTaskName": "build", "taskType": "HTTP", "status": "FAILED", "reasonForIncompletion": "x" * 900}
    workflow = {"workflowId": "w1", "workflowName": "deploy", "workflowVersion": 2, "status": "FAILED"}
    server.answers = [Answer({**workflow, "startTime": 5, "endTime": 9, "tasks": [task, {}]})]
    progress = conductor.progress("w1")
    assert progress is not None
    assert (progress.workflow, progress.version, progress.has_ended) == ("deploy", 2, True)
    assert (progress.started_at, progress.ended_at) == (5, 9)
    assert [(one.reference_name, one.reason) for one in progress.tasks] == [("build", "x" * 500), ("", "")]


def test_the_outcome_of_a_workflow_is_its_status_and_output(server: StandIn, conductor: Conductor) -> None:
    workflow = {"workflowId": "w1", "status": "COMPLETED", "output": {"reply": 1}, "endTime": 9, "tasks": []}
    apart = {**workflow, "output": {}, "externalOutputPayloadStoragePath": "b596.json"}
    server.answers = [Answer(workflow), Answer(apart), Answer({"workflowId": "w1", "status": "FAILED"})]
    assert conductor.outcome("w1") == End("COMPLETED", {"reply": 1}, 9)
    assert conductor.outcome("w1") == End("COMPLETED", {}, 9, is_apart=True)
    assert conductor.outcome("w1") == End("FAILED", None, None)
    assert [request.query for request in server.requests] == [{"includeTasks": ["false"]}] * 3


@pytest.mark.parametrize("status", ["RUNNING", "PAUSED"])
def test_a_workflow_that_runs_or_is_paused_has_no_outcome(server: StandIn, conductor: Conductor, status: str) -> None:
    server.answers = [Answer({"workflowId": "w1", "status": status, "output": {"reply": 1}})]
    assert conductor.outcome("w1") is None


def test_an_answer_without_a_status_is_no_outcome(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"workflowId": "w1", "output": {"reply": 1}})]
    with pytest.raises(Garbled):
        conductor.outcome("w1")


def test_a_workflow_that_conductor_doesnt_have_has_no_outcome_either(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"message": "No such workflow found by id: w1"}, status=404)]
    with pytest.raises(NotFound):
        conductor.outcome("w1")


def test_an_unknown_workflow_has_no_progress(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer({"message": "No such workflow found by id: w1"}, status=404)]
    assert conductor.progress("w1") is None
