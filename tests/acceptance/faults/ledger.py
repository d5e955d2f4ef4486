"""A Conductor that answers at once and keeps account of what it was asked to do, so that only the
bridge is judged.

A real one is itself the limit on a machine that runs everything, and says under load that calls
took too long. This one has workflows that are started, and chains: workflows of waiting tasks, of
which each begins as the one before is completed. As with a real one, a task is handed out once, and
whoever loses that finds it in the index.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.faulty_proxy import Exchange, HttpProxy

CHAIN = "chain"
"""The name of all chains' workflow."""
START = "flood"
"""The name of the only workflow that can be started."""
_JSON, _TEXT = "application/json", "text/plain"


@dataclass
class Chain:
    """A workflow in which one task waits at a time."""

    key: str
    workflow_id: str
    taken: list[tuple[str, Any]] = field(default_factory=list)
    """Which event completed each task so far, and the task's output."""
    started_at: int = 0
    """When the waiting task was handed out first; 0 before."""
    began_at: int = field(default_factory=lambda: int(time.time() * 1000))

    @property
    def reference_name(self) -> str:
        """The waiting task's."""
        return f"wait__{len(self.taken) + 1}"

    @property
    def task_id(self) -> str:
        """The waiting task's."""
        return f"{self.workflow_id}-{len(self.taken)}"

    def waiting(self) -> dict[str, Any]:
        """The waiting task, handed out."""
        self.started_at = self.started_at or int(time.time() * 1000)
        return {
            "taskId": self.task_id,
            "taskType": "WAIT_FOR_WEBHOOK",
            "status": "IN_PROGRESS",
            "referenceTaskName": self.reference_name,
            "workflowInstanceId": self.workflow_id,
            "workflowType": CHAIN,
            "scheduledTime": self.began_at,
            "startTime": self.started_at,
            "inputData": {"matches": {"$.chain": self.key}},
        }

    def workflow(self) -> dict[str, Any]:
        """The workflow, with its tasks."""
        done = [
            {
                "taskId": f"{self.workflow_id}-{number}",
                "referenceTaskName": f"wait__{number + 1}",
                "taskType": "WAIT_FOR_WEBHOOK",
                "status": "COMPLETED",
                "workerId": event_id,
            }
            for number, (event_id, _) in enumerate(self.taken)
        ]
        return {
            "workflowId": self.workflow_id,
            "workflowName": CHAIN,
            "workflowVersion": 1,
            "status": "RUNNING",
            "startTime": self.began_at,
            "tasks": [*done, self.waiting()],
        }


class Ledger(HttpProxy):
    """The server. Its `url` is the API's."""

    def __init__(self, chains: int) -> None:
        self.started: Counter[str] = Counter()
        """Correlation id → how many workflows were started with it."""
        self.chains = [Chain(f"key-{number}", f"chain-{number}") for number in range(chains)]
        self._ids: dict[str, str] = {}
        """Correlation id → workflow id."""
        self._numbers = itertools.count(1)
        self._account = threading.Lock()
        super().__init__(0)

    def answer(self, exchange: Exchange, body: bytes) -> None:
        parts = urlsplit(exchange.path)
        path = unquote(parts.path.removeprefix("/api"))
        with self._account:
            status, answer, kind = self._answer(exchange.command, path, parse_qs(parts.query), body)
        exchange.say(status, (answer if kind == _TEXT else json.dumps(answer)).encode(), kind)

    def _answer(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, Any, str]:
        parts = path.strip("/").split("/")
        if path == "/workflow" and method == "POST":
            about = json.loads(body)
            return (
                (200, self._start(about["correlationId"]), _TEXT)
                if about["name"] == START
                else (404, {}, _JSON)
            )
        if path.endswith("/correlated"):
            [asked] = json.loads(body)
            known = self._ids.get(asked)
            return 200, {asked: [{"workflowId": known}]} if known else {}, _JSON
        if path.endswith("/COMPLETED"):
            return 200, self._complete(parts[1], parts[2], query["workerid"][0], body), _TEXT
        if path.startswith("/tasks/poll/"):
            return 200, [chain.waiting() for chain in self.chains if not chain.started_at], _JSON
        if path.startswith("/tasks/search"):
            return 200, {"results": self._found(query["query"][0], int(query["start"][0]))}, _JSON
        if path.startswith("/workflow/running/"):
            return (
                200,
                [chain.workflow_id for chain in self.chains] if parts[2] == CHAIN else [],
                _JSON,
            )
        if path.startswith("/workflow/decide/"):
            return 200, "", _TEXT
        if len(parts) == 2 and parts[0] == "workflow":
            found = [chain.workflow() for chain in self.chains if chain.workflow_id == parts[1]]
            return (200, found[0], _JSON) if found else (404, {}, _JSON)
        if len(parts) == 2 and parts[0] == "tasks":
            return self._task(parts[1])
        return 404, {}, _JSON

    def _start(self, correlation_id: str) -> str:
        self.started[correlation_id] += 1
        workflow_id = f"workflow-{next(self._numbers)}"
        self._ids.setdefault(correlation_id, workflow_id)
        return workflow_id

    def _complete(self, workflow_id: str, reference_name: str, event_id: str, body: bytes) -> str:
        for chain in self.chains:
            if chain.workflow_id == workflow_id and chain.reference_name == reference_name:
                completed = chain.task_id
                chain.taken.append((event_id, json.loads(body)))
                chain.started_at = 0
                return completed
        return ""

    def _found(self, query: str, offset: int) -> list[dict[str, Any]]:
        after = re.search(r"startTime>(\d+)", query)
        if offset or after is None:
            return []
        waiting = [chain.waiting() for chain in self.chains if chain.started_at]
        return sorted(
            (task for task in waiting if task["startTime"] > int(after[1])),
            key=lambda task: str(task["startTime"]),
        )

    def _task(self, task_id: str) -> tuple[int, Any, str]:
        for chain in self.chains:
            if task_id.rpartition("-")[0] == chain.workflow_id:
                tasks = chain.workflow()["tasks"]
                return next(
                    ((200, task, _JSON) for task in tasks if task["taskId"] == task_id),
                    (404, {}, _JSON),
                )
        return 404, {}, _JSON
