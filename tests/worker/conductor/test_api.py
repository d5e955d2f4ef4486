"""One request to Conductor: what it may take, and that none leaves too late."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest
from urllib3.connection import HTTPConnection

from tests.worker.conductor.stand_in import POLLED, Answer, StandIn
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, Garbled, NotNow, OutcomeUnknown, Unreachable
from worker.conductor.server import Server


def test_an_answer_that_is_not_utf_8_is_not_read_as_something_else(server: StandIn, conductor: Conductor) -> None:
    task = json.dumps({**POLLED, "inputData": {"matches": {"$.n": "caf?"}}}).encode().replace(b"caf?", b"caf\xe9")
    server.answers = [Answer(task)]
    with pytest.raises(Garbled):
        conductor.waiting_task("t1")


def test_of_one_answer_less_may_be_read_than_of_others(server: StandIn, conductor: Conductor) -> None:
    much = [{"workflowId": "w1", "status": "COMPLETED", "input": {"much": "x" * 5000}}]
    server.answers = [Answer({"k": much}), Answer({"k": much})]
    with pytest.raises(Garbled):
        conductor.messages.with_key("agent", "k", ended=True, largest=4000)
    assert [one.id for one in conductor.messages.with_key("agent", "k", ended=True)] == ["w1"]


def test_whoever_reads_may_wait_for_less_than_the_time_out(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer(POLLED, wait=60)]
    with pytest.raises(OutcomeUnknown):
        conductor.within(1).waiting_task("t1")
    server.answers = [Answer(POLLED)]
    assert conductor.waiting_task("t1") is not None


def test_where_nobody_listens_nothing_has_happened() -> None:
    with pytest.raises(Unreachable):
        Conductor(Server("http://127.0.0.1:1/api"), 1).poll("me")


def test_a_header_cannot_hold_a_line_break(server: StandIn) -> None:
    """Else whoever chooses a token would choose the rest of the request."""
    for token in ("a\r\nX-Other: b", "a\nb", "a\rb"):
        server.answers = [Answer({"token": token})]
        with pytest.raises(ConductorError, match="Invalid header value"):
            Conductor(Server(server.url, "key", "secret"), 30).poll("me")
    assert {request.path for request in server.requests} == {"/api/token"}


def test_a_request_never_leaves_after_its_time(server: StandIn, conductor: Conductor) -> None:
    server.answers = [Answer("w1")]
    with pytest.raises(NotNow):
        conductor.start("flow", None, "{}", "event", not_after=time.monotonic() - 0.001)
    with pytest.raises(NotNow):
        conductor.complete("w", "wait", "t1", "{}", "event", not_after=time.monotonic() - 0.001)
    with pytest.raises(NotNow):
        conductor.poll("me", not_after=time.monotonic() - 0.001)
    assert server.requests == []
    assert conductor.start("flow", None, "{}", "event") == "w1", "the limit was that call's alone"


@pytest.mark.parametrize(("frozen", "moment"), [(HTTPConnection, "connect"), (socket.socket, "sendall")])
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
