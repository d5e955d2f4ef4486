"""A stand-in for Conductor on this machine, which plays answers that were recorded from Conductor
3.32."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tools.servers.http_server import Handler, HttpServer


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
    """Answers each request with what `answers` says: the next answer, or a function of the
    request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer | Callable[[Request], Answer]] = []
        stand_in = self

        class Playing(Handler):
            def do(self) -> None:
                raw = self.read_body()
                if len(raw) < int(self.headers.get("Content-Length") or 0):
                    self.close_connection = True  # it broke off: no server does anything then
                    return
                url = urlsplit(self.path)
                asked = Request(
                    self.command,
                    unquote(url.path),
                    parse_qs(url.query),
                    self.lower_headers,
                    json.loads(raw) if raw else None,
                )
                stand_in.requests.append(asked)
                answer = (
                    stand_in.answers.pop(0) if len(stand_in.answers) > 1 else stand_in.answers[0]
                )
                self.play(answer(asked) if callable(answer) else answer)

            def play(self, answer: Answer) -> None:
                if answer.close == "before":
                    self.hang_up()
                    return
                text = (
                    answer.body
                    if isinstance(answer.body, (str, bytes))
                    else json.dumps(answer.body)
                )
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

        self.server = HttpServer(Playing)
        self.url = f"{self.server.url}/api"

    def stop(self) -> None:
        self.server.stop()

    @property
    def last(self) -> Request:
        return self.requests[-1]


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
