"""Conductor's API, through conductor-python: the only module that knows its client.

What was measured on Conductor OSS 3.32 and conductor-python 2.0 and is easy to get wrong, is noted where it matters.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from conductor.client.configuration.configuration import Configuration
from conductor.client.configuration.settings.authentication_settings import AuthenticationSettings
from conductor.client.http.api_client import ApiClient
from conductor.client.http.rest import ApiException

from events.event import Task, Workflow
from worker.clock import ServerClock

TASK_TYPE = "WAIT_FOR_WEBHOOK"
POLL_BATCH = 100
SEARCH_PAGE = 1000
_TERMINAL = frozenset(
    ("COMPLETED", "COMPLETED_WITH_ERRORS", "CANCELED", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "TIMED_OUT", "SKIPPED")
)
# Answers that say nothing about the request itself: worth another try, and nothing has happened.
_TRY_AGAIN = frozenset((401, 403, 429))


class ConductorError(Exception):
    """A call to Conductor failed."""


class NotSent(ConductorError):
    """Conductor wasn't reached, or wouldn't look at the request now: nothing has happened."""


class OutcomeUnknown(ConductorError):
    """The call broke or timed out on its way, or Conductor failed over it: it may have taken effect, or still may."""


class Refused(ConductorError):
    """Conductor refuses this request for good."""


class NotFound(Refused):
    """Conductor doesn't know what the request names."""


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """What Conductor says of one task."""

    terminal: bool
    worker_id: str | None
    """After a completion by name: the `workerid` of the call that won, so the event's id if it was ours."""


class Conductor:
    """Calls to one Conductor server. Every call has the time-out, and raises a ConductorError of the right kind."""

    def __init__(self, url: str, timeout: float, key: str | None = None, secret: str | None = None):
        """`url` is the API's, with ``/api``; `timeout` in seconds."""
        self.timeout = timeout
        self.clock = ServerClock()
        authentication = AuthenticationSettings(key_id=key, key_secret=secret) if key and secret else None
        self._configuration = Configuration(server_api_url=url.rstrip("/"), authentication_settings=authentication)
        # After a protocol error the client closes its connections under all calls in flight: one client a thread
        # keeps one thread's bad luck from making the others' outcomes unknown.
        self._clients = threading.local()

    # --- waiting tasks ---

    def poll(self, worker_id: str, domain: str | None = None) -> list[Task]:
        """Takes up to `POLL_BATCH` tasks from the queue: that adopts them, no queue hands them out again.

        timeout=0 returns at once; any other value takes at least 100 ms when the queue is empty.
        """
        query: list[tuple[str, Any]] = [("workerid", worker_id), ("count", POLL_BATCH), ("timeout", 0)]
        if domain is not None:
            query.append(("domain", domain))
        sent = time.time() * 1000
        found = self._call("GET", "/tasks/poll/batch/{type}", {"type": TASK_TYPE}, query) or []
        received = time.time() * 1000
        for item in found[:1]:
            # A polled task's start is the server's clock during the poll.
            self.clock.observe(item["startTime"], sent, received)
        return [_task(item, "queue", domain) for item in found]

    def waiting_since(self, start: int) -> Iterator[list[Task]]:
        """Pages of the tasks that the index knows as in progress, started after that time of the server's clock.

        Only the index knows tasks that were polled by others, whose poll answer got lost, or that were never queued.
        A page begins where the last one ended, so no window grows beyond what an index allows.
        """
        seen: set[str] = set()
        offset = 0
        while True:
            query = f"taskType='{TASK_TYPE}' AND status='IN_PROGRESS' AND startTime>{start}"
            page = self._search("/tasks/search-v2", query, "startTime:ASC", offset)
            fresh = [item for item in page if item["taskId"] not in seen]
            yield [_task(item, "index", item.get("domain")) for item in fresh if item.get("status") == "IN_PROGRESS"]
            if len(page) < SEARCH_PAGE:
                return
            last = max(item["startTime"] for item in page)
            if last - 1 > start:
                start, offset = last - 1, 0
                seen = {item["taskId"] for item in page}
            else:  # a whole page of one moment: go on inside it
                seen |= {item["taskId"] for item in page}
                offset += SEARCH_PAGE

    def ended_since(self, end: int) -> set[str]:
        """The ids of tasks that ended after that time of the server's clock, as far as the index knows."""
        query = f"taskType='{TASK_TYPE}' AND endTime>{end}"
        ended: set[str] = set()
        for offset in range(0, 5 * SEARCH_PAGE, SEARCH_PAGE):  # reconciliation finds what a crowd hides here
            page = self._search("/tasks/search", query, "endTime:DESC", offset)
            ended |= {item["taskId"] for item in page}
            if len(page) < SEARCH_PAGE:
                break
        return ended

    def task(self, task_id: str) -> TaskStatus | None:
        """The task's status; None if Conductor has no such task."""
        try:
            found = self._call("GET", "/tasks/{id}", {"id": task_id})
        except NotFound:
            return None
        if not isinstance(found, dict):
            return None
        return TaskStatus(found.get("status") in _TERMINAL, found.get("workerId"))

    def extend_lease(self, task_id: str, workflow_id: str) -> None:
        """Keeps a task with a response time-out waiting. (`callbackAfterSeconds` would put it back into the queue.)"""
        body = {
            "taskId": task_id,
            "workflowInstanceId": workflow_id,
            "status": "IN_PROGRESS",
            "extendLease": True,
        }
        self._call("POST", "/tasks", body=body)

    # --- targets ---

    def complete(self, workflow_id: str, reference_name: str, output: dict[str, Any], event_id: str) -> str | None:
        """Completes the workflow's pending task of that reference name; the id of the task, None if none was pending.

        By name and not by id: the update by id answers the same whatever happened. The task's `workerId` then names
        the event.
        """
        path = {"workflowId": workflow_id, "name": reference_name}
        answer = self._call("POST", "/tasks/{workflowId}/{name}/COMPLETED", path, [("workerid", event_id)], output)
        return str(answer) if answer else None

    def start(self, name: str, version: int | None, payload: dict[str, Any], correlation_id: str) -> str:
        """Starts a workflow; its id. Raises NotFound for an unknown name or version.

        The idempotency key is ignored by Conductor OSS and honoured by Orkes.
        """
        body: dict[str, Any] = {
            "name": name,
            "input": payload,
            "correlationId": correlation_id,
            "idempotencyKey": correlation_id,
            "idempotencyStrategy": "RETURN_EXISTING",
        }
        if version is not None:
            body["version"] = version
        return str(self._call("POST", "/workflow", body=body))

    def started(self, name: str, correlation_id: str) -> str | None:
        """The id of the workflow that was started with this correlation id, also an ended one; None without one."""
        query: list[tuple[str, Any]] = [("includeClosed", "true"), ("includeTasks", "false")]
        # The GET form of this call refuses ids with a slash.
        found = self._call("POST", "/workflow/{name}/correlated", {"name": name}, query, [correlation_id]) or {}
        workflows = found.get(correlation_id) or []
        return workflows[0]["workflowId"] if workflows else None

    def workflow(self, workflow_id: str) -> Workflow | None:
        """Version, and start and correlation id of the outermost workflow around it; None if Conductor has none."""
        own = root = self._workflow(workflow_id)
        while root is not None and root.get("parentWorkflowId"):
            parent = self._workflow(root["parentWorkflowId"])
            if parent is None:
                break
            root = parent
        if own is None or root is None:
            return None
        return Workflow(
            id=workflow_id,
            version=own.get("workflowVersion") or own.get("workflowDefinition", {}).get("version") or 1,
            root_id=root["workflowId"],
            root_started_at=root.get("startTime") or root["createTime"],
            root_correlation_id=root.get("correlationId"),
        )

    def _workflow(self, workflow_id: str) -> dict[str, Any] | None:
        try:
            found = self._call("GET", "/workflow/{id}", {"id": workflow_id}, [("includeTasks", "false")])
        except NotFound:
            return None
        return found if isinstance(found, dict) else None

    # --- the wire ---

    def _search(self, path: str, query: str, sort: str, offset: int) -> list[dict[str, Any]]:
        parameters = [("start", offset), ("size", SEARCH_PAGE), ("sort", sort), ("query", query)]
        found = self._call("GET", path, query=parameters)
        return found.get("results") or [] if isinstance(found, dict) else []

    def _call(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None = None,
        query: Sequence[tuple[str, Any]] = (),
        body: Any = None,
    ) -> Any:
        """One call with plain values in and out: models cost three times the processor time, and the client's own
        methods drop `timeout=0` and wrap outputs."""
        sent = time.time() * 1000
        try:
            answer, _, headers = self._client().call_api(
                path,
                method,
                parameters or {},
                query_params=list(query),
                header_params={"Accept": "*/*", "Content-Type": "application/json"},
                body=body,
                response_type="object",
                _request_timeout=self.timeout,
            )
        except ApiException as error:
            raise _translated(error) from error
        except Exception as error:  # what the client lets through of httpx and of its own
            raise OutcomeUnknown(f"{type(error).__name__}: {error}") from error
        self._observe_date(headers, sent)
        return answer

    def _client(self) -> ApiClient:
        client = getattr(self._clients, "client", None)
        if client is None:
            client = self._clients.client = ApiClient(self._configuration)
        return client

    def _observe_date(self, headers: Any, sent: float) -> None:
        """A rough bound on the clocks' offset from any answer, for servers whose tasks are never polled."""
        try:
            seconds = parsedate_to_datetime(headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return
        # Whole seconds, from a text that servers renew once a second.
        self.clock.observe(seconds * 1000, sent, time.time() * 1000, precision=2000)


def _task(item: dict[str, Any], found_by: Any, domain: str | None) -> Task:
    timeouts = (
        (item.get("taskDefinition") or {}).get("responseTimeoutSeconds"),
        ((item.get("workflowTask") or {}).get("taskDefinition") or {}).get("responseTimeoutSeconds"),
        item.get("responseTimeoutSeconds"),
    )
    return Task(
        id=item["taskId"],
        workflow_id=item["workflowInstanceId"],
        workflow=item.get("workflowType") or "",
        reference_name=item["referenceTaskName"],
        matches=(item.get("inputData") or {}).get("matches"),
        scheduled_at=item.get("scheduledTime") or item.get("startTime") or 0,
        response_timeout=max((seconds or 0 for seconds in timeouts), default=0),
        domain=domain,
        found_by=found_by,
    )


def _translated(error: ApiException) -> ConductorError:
    status, reason = error.status or 0, " ".join(str(error.reason or "").split())
    if status == 0:
        if reason.startswith("Connection error"):
            return NotSent(reason)
        return OutcomeUnknown(reason)
    message = f"{status} {_message(error.body) or reason}"
    if status == 404:
        return NotFound(message)
    if status in _TRY_AGAIN:
        return NotSent(message)
    if 400 <= status < 500 and status != 408:
        return Refused(message)
    return OutcomeUnknown(message)


def _message(body: Any) -> str:
    try:
        return str(json.loads(body)["message"])[:500]
    except (KeyError, TypeError, ValueError):
        return ""
