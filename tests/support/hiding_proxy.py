"""A proxy between the worker and Conductor that keeps waiting tasks from the worker, and is away or
another server for a while."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any, Literal

from tests.support.faulty_proxy import Exchange, HttpProxy

Place = Literal[
    "queue",  # polls find it empty: the task stays in it
    "polls",  # they take the task, and their answers lack it
    "index",
    "workflows",  # as they are read
]
EVERYWHERE: tuple[Place, ...] = ("polls", "index", "workflows")
"""What a poll takes is known to nobody."""
STILL_QUEUED: tuple[Place, ...] = ("queue", "index", "workflows")
"""The worker's own poll finds it once it is revealed."""
State = Literal["well", "away", "empty"]
"""away: connections close unanswered. empty: it is another server, which has none of the tasks."""

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_POLL = re.compile(r"/api/tasks/poll/")
_SEARCH = re.compile(r"/api/(tasks|workflow)/search")
_RUNNING = re.compile(r"/api/workflow/running/")
_WORKFLOW = re.compile(rf"/api/workflow/({_ID.pattern})(\?|$)")
_NOTHING = b'{"totalHits": 0, "results": []}'


class HidingProxy(HttpProxy):
    """Forwards everything, but hides the waiting tasks of some workflows until it reveals them."""

    def __init__(self, to: int) -> None:
        """`to` is the server's port."""
        self.state: State = "well"
        self.refused: set[str] = set()
        """Workflows by their ids: reading them is answered 429."""
        self.when_taken: Callable[[], None] = lambda: None
        """Called before a poll's answer that lacks a task."""
        self._hidden: dict[str, tuple[Place, ...]] = {}
        super().__init__(to)

    def hide(self, workflow: str, *places: Place) -> None:
        """From now on, the waiting tasks of workflows with that name can't be found there, and
        nowhere else is anything hidden of them."""
        self._hidden = {**self._hidden, workflow: places}

    def reveal(self) -> None:
        """Nothing is hidden any more."""
        self._hidden = {}

    def answer(self, exchange: Exchange, body: bytes) -> None:
        """Answers one request, or doesn't."""
        match self.state:
            case "away":
                exchange.hang_up()
            case "empty":
                self._answer_for_another(exchange, body)
            case "well":
                self._answer(exchange, body)

    def _answer(self, exchange: Exchange, body: bytes) -> None:
        path = exchange.path
        read = _WORKFLOW.match(path) if exchange.command == "GET" else None
        if read and read[1] in self.refused:
            self.counts["429"] += 1
            exchange.say(429, b'{"message": "the proxy says so"}')
        elif _POLL.match(path) and self._in("queue"):
            exchange.say(200, b"[]")
        elif _POLL.match(path):
            exchange.say(*self._without(exchange.forward(body), self._left_over))
        elif path.startswith("/api/tasks/search"):
            exchange.say(*self._without(exchange.forward(body), self._left_in_page))
        elif read:
            exchange.say(*self._without(exchange.forward(body), self._left_in_workflow))
        else:
            exchange.say(*exchange.forward(body))

    def _in(self, place: Place) -> set[str]:
        """The workflows whose tasks are hidden there."""
        return {name for name, places in self._hidden.items() if place in places}

    def _without(
        self, answer: tuple[int, bytes, str], left: Callable[[Any], Any]
    ) -> tuple[int, bytes, str]:
        """The answer with what is left of its value."""
        status, body, kind = answer
        if status != 200 or not body or not self._hidden:
            return answer
        return status, json.dumps(left(json.loads(body))).encode(), kind

    def _left_over(self, polled: list[dict[str, Any]]) -> list[dict[str, Any]]:
        hidden = self._in("polls")
        left = [task for task in polled if task["workflowType"] not in hidden]
        if len(left) < len(polled):
            self.counts["taken"] += len(polled) - len(left)
            self.when_taken()
        return left

    def _left_in_page(self, page: dict[str, Any]) -> dict[str, Any]:
        hidden = self._in("index")
        left = [one for one in page["results"] if one["workflowType"] not in hidden]
        return {**page, "results": left}

    def _left_in_workflow(self, workflow: dict[str, Any]) -> dict[str, Any]:
        if workflow["workflowName"] not in self._in("workflows"):
            return workflow
        tasks = workflow.get("tasks", [])
        left = [task for task in tasks if task["taskType"] != "WAIT_FOR_WEBHOOK"]
        return {**workflow, "tasks": left}

    def _answer_for_another(self, exchange: Exchange, body: bytes) -> None:
        """As an empty server would: as this one does for ids that it doesn't know."""
        path = exchange.path
        if _POLL.match(path) or _RUNNING.match(path):
            exchange.say(200, b"[]")
            return
        if _SEARCH.match(path):
            exchange.say(200, _NOTHING)
            return
        ours: dict[str, str] = {}

        def strange(found: re.Match[str]) -> str:
            another = str(uuid.uuid5(uuid.NAMESPACE_OID, found[0]))
            ours[another] = found[0]
            return another

        exchange.path = _ID.sub(strange, path)
        asked = _ID.sub(strange, body.decode())
        status, answer, kind = exchange.forward(asked.encode())
        self.counts[f"{exchange.command} {status}"] += 1
        said = _ID.sub(lambda found: ours.get(found[0], found[0]), answer.decode())
        exchange.say(status, said.encode(), kind)
