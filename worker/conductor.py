"""Conductor's API, through conductor-python: the only module that knows its client.

What was measured on Conductor OSS 3.32 and conductor-python 2.0 and is easy to get wrong, is noted where it matters.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, TypeVar
from urllib.parse import urlencode

import urllib3
from conductor.client.configuration.configuration import Configuration
from conductor.client.configuration.settings.authentication_settings import AuthenticationSettings
from conductor.client.http.api_client import ApiClient
from conductor.client.http.rest import ApiException, AuthorizationException, RESTClientObject, RESTResponse

from events.clock import ServerClock
from events.records import Task, Workflow

TASK_TYPE = "WAIT_FOR_WEBHOOK"
POLL_BATCH = 100
SEARCH_PAGE = 1000
LARGEST_SEARCH_PAGE = 5000
LARGEST_ANSWER = 64 * 1024**2
"""Bytes of an answer that are read at most. Conductor keeps up to 10 MB of a payload in place."""
_NARROWINGS = 100
"""Pages of one search that may fail before the search counts as failed."""
_FAR = 32_503_680_000_000
"""Milliseconds of the year 3000: no task has started later."""
_IN_PROGRESS = f"taskType='{TASK_TYPE}' AND status='IN_PROGRESS'"
_QUICK = 0.5
"""Seconds within which a page has come that may be followed by one twice as large."""
_TERMINAL = frozenset(
    ("COMPLETED", "COMPLETED_WITH_ERRORS", "CANCELED", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "TIMED_OUT", "SKIPPED")
)
# Answers that say nothing about the request itself: worth another try, and nothing has happened.
_TRY_AGAIN = frozenset((401, 403, 429))
_CONNECT_TIMEOUT = 3.0
_PIECE = 64 * 1024
_KEPT_OPEN = 10.0
"""Seconds after which an idle connection isn't used again: a server that closes it just then leaves doubts."""
# An error of TLS is none of them: it may come after the request was sent.
_NO_CONNECTION = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.LocationValueError,
    urllib3.exceptions.URLSchemeUnknown,
)
_TOKEN_AGAIN = 30.0
"""Seconds until a token is asked for again that couldn't be had."""


class ConductorError(Exception):
    """A call to Conductor failed."""

    status = 0
    """The HTTP status of the answer; 0 without one."""
    call = ""
    """Which call was answered so, as ``GET /tasks/{id}``."""


class NotSent(ConductorError):
    """Nothing has happened."""


class Unreachable(NotSent):
    """Conductor wasn't reached."""


class NotNow(NotSent):
    """Conductor wouldn't look at the request now (a rate limit, a permission), or it was too late to send it."""


class OutcomeUnknown(ConductorError):
    """The call broke or timed out on its way, or Conductor failed over it: it may have taken effect, or still may."""


class NotThere(OutcomeUnknown):
    """What answers has no such call: it is no Conductor, another address of it, one that starts, or too old."""


class Garbled(OutcomeUnknown):
    """The answer can't be read: it isn't UTF-8, or too large, or it lacks what it must have."""


class Refused(ConductorError):
    """Conductor refuses this request for good: the same answer would come at every try."""


class NotFound(Refused):
    """Conductor doesn't know what the request names."""


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """What Conductor says of one task."""

    terminal: bool
    worker_id: str | None
    """After a completion by name: the `workerid` of the call that won, so the event's id if it was ours."""
    failure: str | None = None
    """Why the task failed, in Conductor's words; None if it didn't."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An item of a list that isn't as Conductor would say it, or for which no list comes."""

    id: str | None
    """The task's, if so much can be told."""
    reason: str


class Conductor:
    """Calls to one Conductor server. Every call has the time-out, and raises a ConductorError of the right kind."""

    def __init__(
        self,
        url: str,
        timeout: float,
        key: str | None = None,
        secret: str | None = None,
        now: Callable[[], float] = lambda: time.time() * 1000,
    ):
        """`url` is the API's, with ``/api``; `timeout` in seconds; `now` is the clock that all processes of the
        bridge share, in milliseconds."""
        self.timeout = timeout
        self.now = now
        self.clock = ServerClock()
        self._authentication = AuthenticationSettings(key_id=key, key_secret=secret) if key and secret else None
        self._configuration = Configuration(
            server_api_url=url.rstrip("/"), authentication_settings=self._authentication
        )
        self._token_asked = float("-inf")
        # One client a thread: no lock between the calls, and no thread's broken connection is another's.
        self._clients = threading.local()

    @property
    def longest_call(self) -> float:
        """Seconds after which a call that was begun has ended, whatever became of it."""
        return min(_CONNECT_TIMEOUT, self.timeout) + self.timeout

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Inside, this thread's calls wait no longer for an answer: for reading only. What comes later is lost."""
        before, _limits.patience = _limits.patience, seconds
        try:
            yield
        finally:
            _limits.patience = before

    # --- waiting tasks ---

    def poll(self, worker_id: str, domain: str | None = None, unreadable: list[Unreadable] | None = None) -> list[Task]:
        """Takes up to `POLL_BATCH` tasks from the queue: that adopts them, no queue hands them out again.

        Those that can't be read go into `unreadable`. timeout=0 returns at once; any other value takes at least 100 ms
        when the queue is empty.
        """
        query: list[tuple[str, Any]] = [("workerid", worker_id), ("count", POLL_BATCH), ("timeout", 0)]
        if domain is not None:
            query.append(("domain", domain))
        sent = self.now()
        found = _checked(list, self._call("GET", "/tasks/poll/batch/{type}", {"type": TASK_TYPE}, query) or [])
        received = self.now()
        if starts := [start for item in found if (start := _moment(item)) is not None]:
            # A polled task's start is the server's clock during the poll, unless it was polled before and put back.
            self.clock.observe(max(starts), sent, received)
        return _tasks(found, "queue", domain, unreadable)

    def waiting_since(self, start: int, unreadable: list[Unreadable] | None = None) -> Iterator[list[Task]]:
        """Pages of the tasks that the index knows as in progress, started after that time of the server's clock.

        Only the index knows tasks that were polled by others, whose poll answer got lost, or that were never queued.
        Not every index can give whole tasks: PostgreSQL's answers 500, always. Those that can't be read go into
        `unreadable`, also one for which no page comes.
        """
        for page in self._in_progress("/tasks/search-v2", start, SEARCH_PAGE, unreadable):
            yield _tasks(page, "index", None, unreadable)

    def waiting_ids_since(self, start: int, unreadable: list[Unreadable] | None = None) -> Iterator[list[str]]:
        """Pages of the ids of these tasks: every index can say so much. (Its `input` is no JSON.)"""
        for page in self._in_progress("/tasks/search", start, LARGEST_SEARCH_PAGE, unreadable):
            yield [item["taskId"] for item in page]

    def _in_progress(
        self, path: str, start: int, largest: int, unreadable: list[Unreadable] | None
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of what has an id. A page begins where the last one ended, so no window grows beyond what an index
        allows.

        PostgreSQL counts and sorts all that is to come for each page, so pages grow up to the `largest` while they come
        quickly: how long one takes depends on the tasks' inputs. A page that doesn't come is asked for in smaller ones;
        a single item for which none comes is passed over.
        """
        unreadable = [] if unreadable is None else unreadable
        seen: set[str] = set()
        offset, size, narrowed = 0, SEARCH_PAGE, 0
        while True:
            query = f"{_IN_PROGRESS} AND startTime>{start}"
            began = time.monotonic()
            try:
                page = self._search(path, query, "startTime:ASC", offset, size)
            except ConductorError as error:
                narrowed += 1
                if not _is_of_an_item(error) or narrowed > _NARROWINGS or not (narrowed > 1 or self._answers(path)):
                    raise
                if size > 1:
                    size //= 2
                    continue
                unreadable.append(Unreadable(self._id_at(path, query, offset), str(error)))
                offset += 1
                continue
            quick = time.monotonic() - began < _QUICK
            listed = [item for item in page if isinstance(item, dict) and isinstance(item.get("taskId"), str)]
            if len(listed) < len(page):
                unreadable += [Unreadable(None, "an item of the search has no id")] * (len(page) - len(listed))
            yield [item for item in listed if item["taskId"] not in seen and item.get("status") == "IN_PROGRESS"]
            if len(page) < size:
                return
            last = max((moment for item in listed if (moment := _moment(item)) is not None), default=0)
            if last - 1 > start:
                start, offset = last - 1, 0
                seen = {item["taskId"] for item in listed}
            else:  # a whole page of one moment: go on inside it
                seen |= {item["taskId"] for item in listed}
                offset += size
            if quick:
                size = min(2 * size, largest)

    def _answers(self, path: str) -> bool:
        """Whether this search works at all: then it is a single task for which it doesn't."""
        try:
            self._search(path, f"{_IN_PROGRESS} AND startTime>{_FAR}", "startTime:ASC", 0, 1)
        except ConductorError:
            return False
        return True

    def _id_at(self, path: str, query: str, offset: int) -> str | None:
        """The id of the task at this place, if the search that gives ids only can tell it."""
        if path == "/tasks/search":
            return None
        try:
            [item] = self._search("/tasks/search", query, "startTime:ASC", offset, 1)
            return item["taskId"] if isinstance(item["taskId"], str) else None
        except (ConductorError, KeyError, TypeError, ValueError):
            return None

    def ended_since(self, end: int) -> set[str]:
        """The ids of tasks that seem to have ended after that time of the server's clock, as far as the index knows.

        That is no proof: a server may set `endTime` on a task that it keeps in progress.
        """
        query = f"taskType='{TASK_TYPE}' AND endTime>{end}"
        ended: set[str] = set()
        for offset in range(0, 5 * SEARCH_PAGE, SEARCH_PAGE):  # reconciliation finds what a crowd hides here
            try:
                page = self._search("/tasks/search", query, "endTime:DESC", offset, SEARCH_PAGE)
            except ConductorError as error:
                if _is_of_an_item(error) and self._answers("/tasks/search"):  # it is no proof anyway
                    break
                raise
            items = [item for item in page if isinstance(item, dict) and isinstance(item.get("taskId"), str)]
            ended |= {item["taskId"] for item in items if item.get("status") != "IN_PROGRESS"}
            if len(page) < SEARCH_PAGE:
                break
        return ended

    def running(self, workflow: str) -> list[str]:
        """The ids of all running workflows of that name, from the server's store and not its index."""
        found = _checked(list, self._call("GET", "/workflow/running/{name}", {"name": workflow}) or [])
        return [workflow_id for workflow_id in found if isinstance(workflow_id, str)]

    def waiting_in(self, workflow_id: str) -> list[tuple[Task, int]]:
        """The workflow's tasks that are in progress, each with its start by the server's clock.

        Raises Garbled if they can't be read.
        """
        workflow = self._workflow(workflow_id, tasks=True) or {}
        found: list[tuple[Task, int]] = []
        for item in _list_of_dicts(workflow.get("tasks") or []):
            if item.get("taskType") == TASK_TYPE and item.get("status") == "IN_PROGRESS":
                found.append((_task(item, "index", item.get("domain")), _moment(item) or 0))
        return found

    def waiting_task(self, task_id: str) -> Task | None:
        """The whole task, if it is in progress. Raises Garbled if it can't be read."""
        found = self._task(task_id)
        if found is None or found.get("status") != "IN_PROGRESS":
            return None
        return _task(found, "index", found.get("domain"))

    def task(self, task_id: str) -> TaskStatus | None:
        """The task's status; None if Conductor has no such task."""
        found = self._task(task_id)
        if found is None:
            return None
        status = str(found.get("status"))
        failure = (found.get("reasonForIncompletion") or status)[:500] if status.startswith("FAILED") else None
        return TaskStatus(status in _TERMINAL, found.get("workerId"), failure)

    def _task(self, task_id: str) -> dict[str, Any] | None:
        try:
            found = _checked(dict, self._call("GET", "/tasks/{id}", {"id": task_id}))
        except NotFound:
            return None
        if not isinstance(found.get("status"), str) or found.get("taskId", task_id) != task_id:
            raise Garbled(f"the answer isn't task {task_id}: {str(found)[:100]!r}")
        return found

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

    # `not_after` is the time by `time.monotonic` after which the request must not leave: NotNow is raised then.

    def complete(
        self,
        workflow_id: str,
        reference_name: str,
        output: str,
        event_id: str,
        not_after: float = float("inf"),
    ) -> str | None:
        """Completes the workflow's pending task of that reference name; the id of the task, None if none was pending.

        `output` is the text of a JSON object. By name and not by id: the update by id answers the same whatever
        happened. The task's `workerId` then names the event.
        """
        path = {"workflowId": workflow_id, "name": reference_name}
        worker = [("workerid", event_id)]
        answer = self._call("POST", "/tasks/{workflowId}/{name}/COMPLETED", path, worker, output, not_after)
        return _id(answer) if answer else None

    def start(
        self,
        name: str,
        version: int | None,
        payload: str,
        correlation_id: str,
        not_after: float = float("inf"),
    ) -> str:
        """Starts a workflow with this text of a JSON object as its input; its id.

        Raises NotFound for an unknown name or version.

        The idempotency key is ignored by Conductor OSS and honoured by Orkes.
        """
        about: dict[str, Any] = {
            "name": name,
            "correlationId": correlation_id,
            "idempotencyKey": correlation_id,
            "idempotencyStrategy": "RETURN_EXISTING",
        }
        if version is not None:
            about["version"] = version
        body = "".join((json.dumps(about)[:-1], ', "input": ', payload, "}"))
        return _id(self._call("POST", "/workflow", body=body, not_after=not_after))

    def started(self, name: str, correlation_id: str) -> str | None:
        """The id of the workflow that was started with this correlation id, also an ended one; None without one.

        On Redis Conductor asks its index, which is late, and may never know (see `worker.earlier_starts`).
        """
        query: list[tuple[str, Any]] = [("includeClosed", "true"), ("includeTasks", "false")]
        # The GET form of this call refuses ids with a slash.
        found = self._call("POST", "/workflow/{name}/correlated", {"name": name}, query, [correlation_id])
        if _checked(dict, found).keys() - {correlation_id}:
            raise Garbled(f"the answer isn't of that correlation id: {str(found)[:100]!r}")
        workflows = _list_of_dicts(found.get(correlation_id) or [])
        return _id(workflows[0].get("workflowId")) if workflows else None

    def completed_by(self, workflow_id: str, reference_name: str, event_id: str) -> bool:
        """Whether this event has completed a task of that reference name: a task that is tried again keeps its name."""
        workflow = self._workflow(workflow_id, tasks=True) or {}
        return any(
            task.get("referenceTaskName") == reference_name and task.get("workerId") == event_id
            for task in _list_of_dicts(workflow.get("tasks") or [])
        )

    def correlation_id(self, workflow_id: str) -> str | None:
        """The workflow's correlation id; None if it has none, or Conductor has no such workflow."""
        found: str | None = (self._workflow(workflow_id) or {}).get("correlationId")
        return found

    def runs(self, workflow_id: str) -> bool:
        """Whether the workflow has not ended; False if Conductor has none."""
        found = self._workflow(workflow_id)
        if found is not None and not found.get("status"):
            raise Garbled("the workflow has no status")
        return found is not None and found["status"] in ("RUNNING", "PAUSED")

    def evaluate(self, workflow_id: str) -> bool:
        """Has Conductor see what the workflow has to do next; False if it has no such workflow.

        A server that is killed after it has stored a start or a completion, and before it has acted on it, leaves the
        workflow standing for good. This call sets it going, and does nothing to one that goes already.
        """
        try:
            self._call("PUT", "/workflow/decide/{id}", {"id": workflow_id})
        except NotFound:
            return False
        return True

    def goes(self, workflow_id: str) -> bool:
        """Whether the workflow has any task or has ended: a running one without tasks has never begun."""
        workflow = self._workflow(workflow_id, tasks=True)
        return (
            workflow is None or bool(_list_of_dicts(workflow.get("tasks") or [])) or workflow.get("status") != "RUNNING"
        )

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
        started = root.get("startTime") or root.get("createTime")
        if not isinstance(started, int):
            raise NotThere(f"the answer isn't a workflow: its start is {str(started)[:100]!r}")
        return Workflow(
            id=workflow_id,
            version=_version(own),
            root_id=root["workflowId"],
            root_started_at=started,
            root_correlation_id=root.get("correlationId"),
        )

    def version(self, workflow_id: str) -> int | None:
        """The workflow's version; None if Conductor has no such workflow."""
        own = self._workflow(workflow_id)
        return None if own is None else _version(own)

    def _workflow(self, workflow_id: str, tasks: bool = False) -> dict[str, Any] | None:
        query = [("includeTasks", "true" if tasks else "false")]
        try:
            found = _checked(dict, self._call("GET", "/workflow/{id}", {"id": workflow_id}, query))
        except NotFound:
            return None
        # Rules depend on what it says: also on what it lacks.
        if found.get("workflowId") != workflow_id or not isinstance(found.get("status", ""), str):
            raise NotThere(f"the answer isn't workflow {workflow_id}: {str(found)[:100]!r}")
        return found

    # --- the wire ---

    def _search(self, path: str, query: str, sort: str, offset: int, size: int) -> list[dict[str, Any]]:
        parameters = [("start", offset), ("size", size), ("sort", sort), ("query", query)]
        return _checked(list, _checked(dict, self._call("GET", path, query=parameters)).get("results") or [])

    def _call(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None = None,
        query: Sequence[tuple[str, Any]] = (),
        body: Any = None,
        not_after: float = float("inf"),
    ) -> Any:
        """One call with plain values in and out: models cost three times the processor time, and the client's own
        methods drop `timeout=0` and wrap outputs. A `body` that is a text is JSON already: of a large one the client
        would copy every value, and no other thread would get on meanwhile."""
        sent = self.now()
        _limits.leaves = not_after
        try:
            answer, _, headers = self._client().call_api(
                path,
                method,
                parameters or {},
                query_params=list(query),
                header_params={"Accept": "*/*", "Content-Type": "application/json"},
                body=body,
                response_type="object",
            )
        except ApiException as error:
            raise _translated(error, f"{method} {path}") from error
        except ConductorError:
            raise
        except Exception as error:  # a bug of the client's, or an answer that it can't read
            raise OutcomeUnknown(f"{type(error).__name__}: {error}") from error
        finally:
            _limits.leaves = float("inf")
        self._observe_date(headers, sent)
        return answer

    def _client(self) -> ApiClient:
        client = getattr(self._clients, "client", None)
        if client is None:
            # Made without credentials: it would ask for a token with a transport and time-outs of its own.
            plain = Configuration(server_api_url=self._configuration.host)
            plain.authentication_settings = None
            client = self._clients.client = ApiClient(plain)
            client.configuration = self._configuration
            client.rest_client = _Transport(self.timeout)
        if self._authentication and self._configuration.AUTH_TOKEN is None:
            self._ask_for_token(client)
        return client

    def _ask_for_token(self, client: ApiClient) -> None:
        """The client itself would give up for good after a few failures, or after one 404."""
        if time.monotonic() - self._token_asked > _TOKEN_AGAIN:
            self._configuration.authentication_settings = self._authentication
            if not client.force_refresh_auth_token() and self._configuration.authentication_settings is not None:
                status, failed = client.rest_client.last  # the client keeps to itself what went wrong
                if isinstance(failed, Unreachable):
                    raise failed
                text = "Conductor gives no token for CONDUCTOR_AUTH_KEY and CONDUCTOR_AUTH_SECRET"
                no_token = NotNow(f"{text} ({failed or status})")
                no_token.status = status
                raise no_token
            self._token_asked = time.monotonic()

    def _observe_date(self, headers: Any, sent: float) -> None:
        """A rough bound on the clocks' offset from any answer, for servers whose tasks are never polled."""
        try:
            seconds = parsedate_to_datetime(headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return
        # Whole seconds, from a text that servers renew once a second.
        self.clock.observe(seconds * 1000, sent, self.now(), precision=2000)


class _Limits(threading.local):
    """Until when, by `time.monotonic`, this thread's call must be connected, have left, and be answered to the end."""

    connected = leaves = answered = float("inf")
    patience = float("inf")
    """Seconds for the answer, if that is less than the call's time-out."""

    def left(self) -> float:
        """Seconds for the answer. Raises TimeoutError if there are none."""
        left = self.answered - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes longer than BRIDGE_CALL_TIMEOUT")
        return left


_limits = _Limits()


class _Timed(io.RawIOBase):
    """Reads an answer from a socket whose time-out, which would begin anew with every byte, shrinks meanwhile."""

    def __init__(self, raw: Any, sock: socket.socket):
        self._raw = raw
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_limits.left())
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *given: Any, **named: Any):
        super().__init__(sock, *given, **named)
        # `detach` is BufferedReader's, which a socket's makefile("rb") is.
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock))


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _Response

    def connect(self) -> None:
        super().connect()
        if time.monotonic() > _limits.connected:  # a name with several addresses has the time-out for each
            self.close()
            raise urllib3.exceptions.ConnectTimeoutError("connecting took too long")

    def request(self, *given: Any, **named: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(_limits.left())
        super().request(*given, **named)

    def send(self, data: Any) -> None:
        # The last moment at which that can be seen: the head is sent first and then the body, without which the server
        # does nothing. A process that is frozen before, while it connects for example, must not send it as it wakes.
        if time.monotonic() > _limits.leaves:
            raise NotNow("too late to send it under this claim")
        super().send(data)


class _TlsConnection(_Connection, urllib3.connection.HTTPSConnection):
    """Bases in this order: what the first one calls its own base is then HTTPSConnection."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Pools(urllib3.PoolManager):
    def __init__(self, **given: Any):
        super().__init__(**given)
        self.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class _Transport(RESTClientObject):  # type: ignore[misc]
    """The client's transport, with one request for one call.

    The client's own repeats a GET whose connection broke, so that a lost poll would go unseen, and connects up to four
    times, so that a request would leave long after the claim that it was made under.
    """

    def __init__(self, timeout: float):
        self._timeout = timeout
        self._used = 0.0
        self.last: tuple[int, ConductorError | None] = (0, None)
        """Status of the last answer, 0 without one, and why there was none."""
        # urllib3 costs two thirds of the processor time of httpx, which is the client's own choice.
        self._pool = _Pools(
            num_pools=1,
            retries=False,
            timeout=urllib3.Timeout(connect=min(_CONNECT_TIMEOUT, timeout), read=timeout),
        )
        super().__init__(self._pool)
        self._owns_connection = False

    def request(
        self,
        method: str,
        url: str,
        query_params: Any = None,
        headers: dict[str, str] | None = None,
        body: Any = None,
        post_params: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> RESTResponse:
        """One request. Raises ApiException for an answer that isn't 2xx, Unreachable, NotNow or OutcomeUnknown."""
        if query_params:
            url += "?" + urlencode(query_params)
        content = None if method == "GET" else _content(body)
        now = time.monotonic()
        if now - self._used > _KEPT_OPEN:
            self._pool.clear()
        self._used = now
        _limits.connected = now + min(_CONNECT_TIMEOUT, self._timeout)
        _limits.answered = now + min(self._timeout, _limits.patience)
        try:
            response = self._pool.request(method, url, body=content, headers=headers, preload_content=False)
            text = bytearray()
            while chunk := response.read1(_PIECE):  # without a size it takes an answer that breaks off for a whole one
                text += chunk
                if len(text) > LARGEST_ANSWER:
                    response.close()
                    raise self._no_answer(Garbled(f"the answer has more than {LARGEST_ANSWER // 1024**2} MB"))
            response.release_conn()
        except _NO_CONNECTION as error:
            raise self._no_answer(Unreachable(f"no connection: {error}")) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._no_answer(OutcomeUnknown(f"{type(error).__name__}: {error}")) from error
        self.last = response.status, None
        answer = RESTResponse(
            SimpleNamespace(
                status_code=response.status,
                reason_phrase=response.reason,
                headers=response.headers,
                text=self._decoded(response.status, text),
            )
        )
        if answer.status in (401, 403):
            raise AuthorizationException(http_resp=answer)
        if not 200 <= answer.status <= 299:
            raise ApiException(http_resp=answer)
        return answer

    def _decoded(self, status: int, text: bytearray) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            if 200 <= status <= 299:  # any character in place of what can't be read would change what a task matches
                raise self._no_answer(Garbled(f"the answer isn't UTF-8: {error.reason}")) from error
            return text.decode("utf-8", "replace")

    def _no_answer(self, error: ConductorError) -> ConductorError:
        self.last = 0, error
        return error


def _content(body: Any) -> bytes:
    """A request's body as it is sent."""
    text = body if isinstance(body, str) else json.dumps({} if body is None else body)
    return text.encode("utf-8", "surrogatepass")


def _is_of_an_item(error: ConductorError) -> bool:
    """Whether a search may have failed so over one of the tasks that it was to show."""
    return error.status == 500 or (isinstance(error, (Garbled, NotThere)) and not error.status)


def _tasks(items: Sequence[Any], found_by: Any, domain: str | None, unreadable: list[Unreadable] | None) -> list[Task]:
    found: list[Task] = []
    for item in items:
        try:
            found.append(_task(item, found_by, domain if domain is not None else item.get("domain")))
        except (Garbled, AttributeError) as error:
            id_ = item.get("taskId") if isinstance(item, dict) else None
            if unreadable is not None:
                unreadable.append(Unreadable(id_ if isinstance(id_, str) else None, str(error)))
    return found


def _task(item: dict[str, Any], found_by: Any, domain: str | None) -> Task:
    """The task of this item. Raises Garbled for one that Conductor wouldn't say."""
    try:
        task = _read_task(item, found_by, domain)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Garbled(f"a task can't be read: {type(error).__name__}: {error}") from error
    texts = (task.id, task.workflow_id, task.workflow, task.reference_name, task.domain or "")
    numbers = (task.scheduled_at, task.response_timeout)
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise Garbled(f"a task can't be read: it has {texts} and {numbers}"[:500])
    return task


def _read_task(item: dict[str, Any], found_by: Any, domain: str | None) -> Task:
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
        response_timeout=max(seconds if type(seconds) is int else 0 for seconds in timeouts),
        domain=domain,
        found_by=found_by,
    )


def _version(workflow: dict[str, Any]) -> int:
    version = workflow.get("workflowVersion") or (workflow.get("workflowDefinition") or {}).get("version") or 1
    if not isinstance(version, int):
        raise NotThere(f"the answer isn't a workflow: its version is {str(version)[:100]!r}")
    return version


def _moment(item: Any) -> int | None:
    """When the item's task started, in Unix milliseconds by the server's clock; None if that can't be read."""
    try:
        return _milliseconds(item["startTime"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _list_of_dicts(items: Any) -> list[dict[str, Any]]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Garbled("a list in the answer isn't one of objects")
    return items


def _milliseconds(moment: Any) -> int:
    """A time of an answer, as ``1700000000000`` or ``2026-11-25T01:30:01.277Z``, in Unix milliseconds."""
    if isinstance(moment, str):
        return round(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)
    return int(moment or 0)


_T = TypeVar("_T", list[Any], dict[str, Any])


def _checked(kind: type[_T], answer: Any) -> _T:
    """The answer, if it is what Conductor would say: a proxy or another server may also answer 200."""
    if not isinstance(answer, kind):
        raise NotThere(f"what answers at CONDUCTOR_SERVER_URL isn't Conductor's API: {str(answer)[:100]!r}")
    return answer


def _id(answer: Any) -> str:
    if not isinstance(answer, str) or not re.fullmatch(r"[\w.:/-]{1,255}", answer):
        raise OutcomeUnknown(f"the answer is no id: {str(answer)[:100]!r}")
    return answer


def _translated(error: ApiException, call: str) -> ConductorError:
    """What an answer to this call that isn't 2xx means."""
    status, message = error.status or 0, _message(error.body)
    text = f"{status} {message or ' '.join(str(error.reason or '').split())}"
    if _kind(status, message) is NotThere:
        text += f" ({call} isn't there: CONDUCTOR_SERVER_URL must end with /api, and the server may be too old)"
    if status in (401, 403):
        text += f" ({call}: the key of CONDUCTOR_AUTH_KEY may not do so)"
    translated = _kind(status, message)(text + _remedy(message))
    translated.status, translated.call = status, call
    return translated


def _kind(status: int, message: str) -> type[ConductorError]:
    if status == 404:
        # A proxy or a server that is starting also says 404; Conductor says what it doesn't know.
        return NotFound if message and not message.startswith(_NO_SUCH_PATH) else NotThere
    if status in (405, 501) or message.startswith("Request method "):  # 405 in Conductor 3.32, 500 in 3.13
        return NotThere
    if status in _TRY_AGAIN:
        return NotNow
    if (400 <= status < 500 and status != 408) or _remedy(message):
        return Refused
    return OutcomeUnknown


_NO_SUCH_PATH = ("No static resource", "No message available")
"""What Spring says of a path that no call has; older ones say nothing."""

# Answers of 500 that would come at every try, as their texts begin or contain, and what we know of each.
_FINAL = (
    ("is greater than the permissible limit", "set BRIDGE_CONDUCTOR_PAYLOAD to what Conductor is set up for"),
    ("exceeds the maximum allowed", "the payload is beyond what Conductor's JSON parser takes"),
    ("unsupported Unicode escape sequence", "PostgreSQL, where Conductor stores, can't hold the character NUL"),
)


def _remedy(message: str) -> str:
    """Our words beside Conductor's, for an answer that will never change; empty for any other."""
    return next((f" ({words})" for part, words in _FINAL if part in message), "")


def _message(body: Any) -> str:
    try:
        return str(json.loads(body)["message"])[:500]
    except (KeyError, TypeError, ValueError):
        return ""
