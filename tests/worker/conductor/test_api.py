"""One request to Conductor: what it may take, and that none leaves too late."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest
from urllib3.connection import HTTPConnection

from tests.support.stand_in import POLLED, Answer, StandIn
from worker.conductor.client import Conductor
from worker.conductor.errors import Garbled, NotNow


def test_an_answer_that_is_not_utf_8_is_not_read_as_something_else(
    server: StandIn, conductor: Conductor
) -> None:
    task = (
        json.dumps({**POLLED, "inputData": {"matches": {"$.n": "caf?"}}})
        .encode()
        .replace(b"caf?", b"caf\xe9")
    )
    server.answers = [Answer(task)]
    with pytest.raises(Garbled):
        conductor.waiting_task("t1")


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


@pytest.mark.parametrize(
    ("frozen", "moment"), [(HTTPConnection, "connect"), (socket.socket, "sendall")]
)
def test_a_process_that_freezes_before_all_of_a_request_is_sent_sends_no_more_when_it_wakes(
    server: StandIn,
    conductor: Conductor,
    frozen: type,
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
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
