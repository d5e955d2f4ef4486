"""A server in Conductor's place, for what command line and page ask of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tools.servers.http_server import Handler, HttpServer

LIST = "/api/metadata/workflow/names-and-versions"


class StandIn:
    """Answers each path with a status and a JSON value, by a function where it has to be made; with
    404 any other."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any] | Callable[[Any], tuple[int, Any]]] = {}
        self.asked: list[str] = []
        self.url = ""

    def has(self, *names: str, versions: tuple[int, ...] = (2,)) -> None:
        """Registers these workflows, and no others."""
        self.answers[LIST] = (
            200,
            {name: [{"name": name, "version": one} for one in versions] for name in names},
        )

    def defines(self, name: str, *tasks: dict[str, Any]) -> None:
        """Gives version 2 of the workflow these tasks."""
        self.answers[f"/api/metadata/workflow/{name}"] = (
            200,
            {"name": name, "version": 2, "tasks": tasks},
        )


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """Such a server, running."""
    stand_in = StandIn()

    class Answering(Handler):
        def do(self) -> None:
            path = urlsplit(self.path).path
            stand_in.asked.append(path)
            body = self.read_body()
            answer = stand_in.answers.get(path, (404, {"message": f"No such item: {path}"}))
            status, value = answer(json.loads(body or b"null")) if callable(answer) else answer
            self.say(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

        do_GET = do_POST = do_PUT = do

    with HttpServer(Answering) as server:
        stand_in.url = f"{server.url}/api"
        yield stand_in
