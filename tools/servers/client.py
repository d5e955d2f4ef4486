"""Conductor's API as demo and tests need it: plain values, independent of the bridge's own client."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, TypeVar

from tools.servers import PATIENCE

T = TypeVar("T")

TERMINAL = ("COMPLETED", "FAILED", "TIMED_OUT", "TERMINATED")
"""The states in which a workflow has ended."""


class RequestFailed(Exception):
    """A server answered with an error, or not at all (status 0)."""

    def __init__(self, method: str, url: str, status: int, body: str) -> None:
        super().__init__(f"{method} {url}: {status or 'no answer'}: {body[:500]}")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Answer:
    """What a request was answered with."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body as a JSON value."""
        return json.loads(self.body)


def http(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = PATIENCE,
) -> Answer:
    """One request; an answer of any status is returned. Raises RequestFailed without an answer."""
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers or {}))
    try:
        with _open(request, timeout) as response:
            return Answer(response.status, response.read(), _lower(response.headers))
    except (OSError, HTTPException) as error:  # the server may end in the middle of its answer
        raise RequestFailed(method, url, 0, str(error)) from None


def _open(request: urllib.request.Request, timeout: float) -> Any:
    """The answer, of any status."""
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        return error


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def until_stored(send: Callable[[], Answer]) -> Answer:
    """The relay's answer to a delivery, which is sent again, as platforms do, while the store is
    busy."""

    def answered() -> Answer | None:
        answer = send()
        is_busy = answer.status == 503 and "can't be stored now" in answer.text
        return None if is_busy else answer

    answer = wait_for(answered, "the store is free")
    assert answer is not None
    return answer


def wait_for(
    condition: Callable[[], T], what: str, timeout: float = PATIENCE, every: float = 0.05
) -> T:
    """The first true value of `condition()`. Raises a TimeoutError that says what was awaited."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:.0f} s: {what} (last seen: {value!r})")
        time.sleep(every)


class Conductor:
    """A Conductor server by the URL of its API."""

    def __init__(self, url: str, key: str | None = None, secret: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._started: list[str] = []
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/plain",
        }
        if key and secret:
            token = self.call("POST", "/token", {"keyId": key, "keySecret": secret})["token"]
            self._headers["X-Authorization"] = token

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call; the JSON value of the answer, its text where it isn't JSON, None where it is
        empty.

        Raises RequestFailed for an answer of 400 and above, or none.
        """
        data = None if body is None else json.dumps(body).encode()
        answer = http(method, self.url + path, data, self._headers)
        if answer.status >= 400:
            raise RequestFailed(method, self.url + path, answer.status, answer.text)
        try:
            return answer.json if answer.body else None
        except ValueError:
            return answer.text

    # --- definitions

    def register(
        self, name: str, tasks: Sequence[dict[str, Any]], version: int = 1, **more: Any
    ) -> str:
        """Registers a workflow of these tasks; its name."""
        definition = {
            "name": name,
            "version": version,
            "schemaVersion": 2,
            "ownerEmail": "bridge@example.com",
            "timeoutSeconds": 0,
            "timeoutPolicy": "ALERT_ONLY",
            "tasks": list(tasks),
            **more,
        }
        self.call("PUT", "/metadata/workflow", [definition])
        return name

    def register_task(self, name: str, **more: Any) -> str:
        """Registers a task definition, by default without any time-out; its name."""
        definition = {
            "name": name,
            "ownerEmail": "bridge@example.com",
            "retryCount": 0,
            "timeoutSeconds": 0,
            **more,
        }
        self.call("POST", "/metadata/taskdefs", [definition])
        return name

    # --- workflows

    def start(
        self,
        name: str,
        version: int | None = None,
        correlation_id: str | None = None,
        **input_: Any,
    ) -> str:
        """Starts a workflow with that input; its id."""
        body = {"name": name, "input": input_, "version": version, "correlationId": correlation_id}
        given = {key: value for key, value in body.items() if value is not None}
        workflow_id = str(self.call("POST", "/workflow", given))
        self._started.append(workflow_id)
        return workflow_id

    def terminate_started(self) -> None:
        """Ends the workflows that were started here and still run."""
        while self._started:
            workflow_id = self._started.pop()
            if self.status(workflow_id) not in TERMINAL:
                self.terminate(workflow_id)

    def workflow(self, workflow_id: str) -> dict[str, Any]:
        """The workflow with its tasks."""
        found: dict[str, Any] = self.call("GET", f"/workflow/{workflow_id}?includeTasks=true")
        return found

    def status(self, workflow_id: str) -> str:
        """RUNNING, COMPLETED, …"""
        return str(self.call("GET", f"/workflow/{workflow_id}?includeTasks=false")["status"])

    def task(self, workflow_id: str, reference_name: str) -> dict[str, Any] | None:
        """The newest task with that reference name; None if there is none yet."""
        tasks = [
            task
            for task in self.workflow(workflow_id)["tasks"]
            if task["referenceTaskName"] == reference_name
        ]
        return tasks[-1] if tasks else None

    def wait_for_task(
        self, workflow_id: str, reference_name: str, timeout: float = PATIENCE
    ) -> dict[str, Any]:
        """That task, once it waits: SCHEDULED or IN_PROGRESS."""

        def waiting() -> dict[str, Any] | None:
            task = self.task(workflow_id, reference_name)
            return task if task and task["status"] in ("SCHEDULED", "IN_PROGRESS") else None

        found = wait_for(waiting, f"task {reference_name} of workflow {workflow_id} waits", timeout)
        assert found is not None
        return found

    def wait_for_status(
        self, workflow_id: str, status: str = "COMPLETED", timeout: float = PATIENCE
    ) -> dict[str, Any]:
        """The workflow once it has that status. Raises TimeoutError, AssertionError if it ends
        otherwise."""

        def reached() -> bool:
            now = self.status(workflow_id)
            assert now == status or now not in TERMINAL, (
                f"workflow {workflow_id} is {now}, not {status}"
            )
            return now == status

        wait_for(reached, f"workflow {workflow_id} is {status}", timeout)
        return self.workflow(workflow_id)

    def terminate(self, workflow_id: str) -> None:
        """Ends a workflow, as a person would."""
        self.call("DELETE", f"/workflow/{workflow_id}?reason=test")

    def started_by(self, name: str, correlation_id: str) -> list[dict[str, Any]]:
        """The workflows of that name with that correlation id, ended ones included."""
        found = self.call(
            "POST",
            f"/workflow/{urllib.parse.quote(name)}/correlated?includeClosed=true&includeTasks=true",
            [correlation_id],
        )
        return list(found.get(correlation_id, []))

    # --- tasks

    def complete(self, workflow_id: str, reference_name: str, **output: Any) -> None:
        """Completes a task, as any worker would."""
        self.call(
            "POST",
            f"/tasks/{workflow_id}/{urllib.parse.quote(reference_name)}/COMPLETED?workerid=test",
            output,
        )

    def poll(
        self, task_type: str = "WAIT_FOR_WEBHOOK", count: int = 100, domain: str | None = None
    ) -> list[dict[str, Any]]:
        """Takes tasks off a queue, as another worker would: they are then IN_PROGRESS, and in no
        queue."""
        suffix = f"&domain={domain}" if domain else ""
        return (
            self.call(
                "GET",
                f"/tasks/poll/batch/{task_type}?count={count}&timeout=100&workerid=somebody{suffix}",
            )
            or []
        )


# --- pieces of workflows ---


def wait_for_webhook(
    reference_name: str = "wait", matches: Mapping[str, Any] | None = None, task: str | None = None
) -> dict[str, Any]:
    """A WAIT_FOR_WEBHOOK task with these matches; `task` names its task definition."""
    return {
        "name": task or reference_name,
        "taskReferenceName": reference_name,
        "type": "WAIT_FOR_WEBHOOK",
        "inputParameters": {"matches": dict(matches or {})},
    }


def set_variable(reference_name: str = "note", **values: Any) -> dict[str, Any]:
    """A task that sets workflow variables, at once."""
    return {
        "name": reference_name,
        "taskReferenceName": reference_name,
        "type": "SET_VARIABLE",
        "inputParameters": values,
    }


def by_hand(reference_name: str = "gate") -> dict[str, Any]:
    """A task that waits until somebody completes it."""
    return {
        "name": reference_name,
        "taskReferenceName": reference_name,
        "type": "HUMAN",
        "inputParameters": {},
    }


def was_given_up(workflow: Mapping[str, Any]) -> bool:
    """Whether Conductor failed it by itself, as it scheduled a task: its `scheduleTask` fails a
    workflow if its database is busy for too long, whoever it was that completed the task before.
    Where that task is in a loop, the reason begins with the loop's."""
    reason = str(workflow.get("reasonForIncompletion"))
    return workflow["status"] == "FAILED" and "Error scheduling tasks" in reason


def outputs(workflow: Mapping[str, Any], prefix: str) -> Iterator[dict[str, Any]]:
    """The outputs of the completed tasks whose reference name starts with this, in order."""
    for task in workflow["tasks"]:
        if task["referenceTaskName"].startswith(prefix) and task["status"] == "COMPLETED":
            yield task["outputData"]
