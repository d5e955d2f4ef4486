"""The calls that the bridge makes to Conductor.

Behaviour that was measured on Conductor OSS 3.32 and is easy to get wrong is noted where it
matters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import Any

from store.clock import ServerClock, SteadyClock
from store.records import FoundBy, Task, Workflow
from store.sql.database import Clock
from worker.conductor import search
from worker.conductor.addressed import WorkflowTasks
from worker.conductor.errors import Garbled, NotFound, NotThere, must_name
from worker.conductor.messages import Messages
from worker.conductor.responses import (
    UNDER_WAY,
    End,
    Listed,
    TaskStatus,
    Unreadable,
    checked,
    end_of,
    id_of,
    listed_in,
    moment_of,
    status_of,
    task_of,
    tasks_in,
    tasks_of,
    version_of,
    versions_of,
)
from worker.conductor.search import PAGE, TASK_TYPE, TASKS, WORKFLOWS
from worker.conductor.server import Server

POLL_BATCH = 100
HANDED_OUT_WITHIN = 60.0
"""Seconds after which a queue has handed out a task."""


class Conductor:
    """One Conductor server. Every call ends in bounded time; a failed one raises a ConductorError
    that says what may have happened. Thread-safe."""

    def __init__(
        self,
        server: Server,
        timeout: float,
        clock: Clock | SteadyClock | None = None,
        page: int = PAGE,
    ):
        """`timeout` are the seconds for one call; `clock` is the one that all of the bridge's
        processes share, by default this machine's; `page` is the number of items of a search's
        page."""
        # Only here: few commands call Conductor.
        from worker.conductor.api import Api

        self._api = Api(server, timeout, clock or SteadyClock())
        self._page = page

    def within(self, seconds: float) -> Conductor:
        """The same server, with calls that wait only this long for an answer. A later answer is
        lost."""
        impatient = copy(self)
        impatient._api = self._api.within(seconds)
        return impatient

    @property
    def timeout(self) -> float:
        """Seconds after which a call has ended, one way or another."""
        return self._api.timeout

    def now(self) -> int:
        """The bridge's time, in Unix milliseconds."""
        return int(self._api.clock.now())

    @property
    def server_clock(self) -> ServerClock:
        """How far the server's clock is ahead of the bridge's."""
        return self._api.server_clock

    def server_now(self) -> int:
        """The server's time as far as known, in Unix milliseconds."""
        return int(self._api.clock.now() + self.server_clock.offset)

    # --- waiting tasks ---

    def poll(
        self,
        worker_id: str,
        domain: str | None = None,
        unreadable: list[Unreadable] | None = None,
        count: int = POLL_BATCH,
        not_after: float = float("inf"),
    ) -> list[Task]:
        """Takes up to `count` tasks off the queue, which never hands them out again.

        Unreadable tasks go into `unreadable`. The request leaves before `not_after`
        (`time.monotonic`), or not at all: then NotNow is raised.
        """
        # timeout=0 returns at once; any other value takes at least 100 ms if the queue is empty.
        query: dict[str, Any] = {"workerid": worker_id, "count": count, "timeout": 0}
        if domain is not None:
            query["domain"] = domain
        api = self._api
        sent = api.clock.now()
        found = checked(
            list, api.call(api.tasks.batch_poll, TASK_TYPE, not_after=not_after, **query) or []
        )
        received = api.clock.now()
        if starts := [start for item in found if (start := moment_of(item)) is not None]:
            # A task's start is the server's time of its first poll: this one, unless the task was
            # put back.
            self.server_clock.observe(max(starts), sent, received)
        return tasks_of(found, "queue", domain, unreadable)

    def waiting_ids_since(self, start: int, workflow: str = "") -> Iterator[dict[str, Listed]]:
        """Pages of the tasks in progress in the index that started after that time by the server's
        clock, by their ids; of any workflow or of those with that name.

        Only the index knows tasks that another client polled, that were lost with a poll's answer,
        or that were never queued. Not every index can return whole tasks: PostgreSQL's always
        answers 500.
        """
        for page in search.in_progress(self._search, start, self._page, workflow):
            yield {item["taskId"]: listed_in(item) for item in page}

    def ended_since(self, end: int) -> set[str]:
        """The ids of the tasks that, according to the index, ended after that time by the server's
        clock.

        This isn't proof: a server may set `endTime` on a task that it keeps in progress.
        """
        return search.ended_since(self._search, end, self._page)

    def running(self, workflow: str) -> list[str]:
        """The ids of all running workflows with that name, from the server's store, not its index."""
        found = checked(
            list, self._api.call(self._api.workflows.get_running_workflow, workflow) or []
        )
        return [workflow_id for workflow_id in found if isinstance(workflow_id, str)]

    def waiting_in(self, workflow_id: str) -> list[Task]:
        """The workflow's tasks in progress, and those that seem to be in no queue. Raises Garbled if
        they can't be read."""
        began, handed_out = self.now(), self.server_now() - int(HANDED_OUT_WITHIN * 1000)
        return [
            replace(task_of(item, _found_by(item), item.get("domain")), seen_at=began)
            for item in tasks_in(self.messages.workflow(workflow_id, tasks=True))
            if item.get("taskType") == TASK_TYPE and _waits(item, handed_out)
        ]

    def waiting_task(self, task_id: str) -> Task | TaskStatus | None:
        """The whole task, if it is in progress, else its status; None if Conductor doesn't know it.
        Raises Garbled if it can't be read."""
        began = self.now()
        found = self._task(task_id)
        if found is None:
            return None
        if found.get("status") != "IN_PROGRESS":
            return status_of(found)
        return replace(task_of(found, "index", found.get("domain")), seen_at=began)

    def task(self, task_id: str) -> TaskStatus | None:
        """The task's status; None if Conductor has no such task."""
        found = self._task(task_id)
        return None if found is None else status_of(found)

    def _task(self, task_id: str) -> dict[str, Any] | None:
        try:
            found = checked(dict, self._api.call(self._api.tasks.get_task, task_id))
        except NotFound as error:
            must_name(task_id, error)
            return None
        if not isinstance(found.get("status"), str) or found.get("taskId", task_id) != task_id:
            raise Garbled(f"the answer isn't task {task_id}: {str(found)[:100]!r}")
        return found

    def extend_lease(self, task_id: str, workflow_id: str, not_after: float = float("inf")) -> None:
        """Restarts a task's response time-out. (`callbackAfterSeconds` would put it back into the
        queue.)"""
        body = {
            "taskId": task_id,
            "workflowInstanceId": workflow_id,
            "status": "IN_PROGRESS",
            "extendLease": True,
        }
        self._api.call(self._api.tasks.update_task, body, not_after=not_after)

    # --- targets ---

    # A request leaves before `not_after` (`time.monotonic`), or not at all: then NotNow is raised.

    def complete(
        self,
        workflow_id: str,
        reference_name: str,
        task_id: str,
        output: str,
        event_id: str,
        not_after: float = float("inf"),
    ) -> str | None:
        """Completes the workflow's pending task with that reference name; returns its id, or None
        if none was pending.

        `output` is the text of a JSON object. The task's `workerId` then names the event. A task
        whose name fits no path is completed by its id: then None is returned whatever happened, so
        that `task` must tell.
        """
        if not search.fits_path(reference_name):
            about = {
                "taskId": task_id,
                "workflowInstanceId": workflow_id,
                "status": "COMPLETED",
                "workerId": event_id,
            }
            body = "".join((json.dumps(about)[:-1], ', "outputData": ', output, "}"))
            with suppress(NotFound):  # the task is gone
                self._api.call(self._api.tasks.update_task, body, not_after=not_after)
            return None
        # By name otherwise, since that answer shows whether it was pending. The client's
        # `update_task1` takes no worker id: it sends the host's name.
        answer = self._api.call(
            self._api.call_api,
            "/tasks/{workflowId}/{name}/COMPLETED",
            "POST",
            path_params={"workflowId": workflow_id, "name": reference_name},
            query_params=[("workerid", event_id)],
            body=output,
            not_after=not_after,
        )
        return id_of(answer) if answer else None

    def start(
        self,
        name: str,
        version: int | None,
        payload: str,
        correlation_id: str,
        not_after: float = float("inf"),
        idempotency_key: str | None = None,
    ) -> str:
        """Starts a workflow and returns its id; `payload`, the text of a JSON object, is its input.

        By default the idempotency key is the correlation id.

        Raises NotFound for an unknown name or version. Conductor OSS ignores the idempotency key;
        Orkes honours it.
        """
        about: dict[str, Any] = {
            "name": name,
            "correlationId": correlation_id,
            "idempotencyKey": idempotency_key or correlation_id,
            "idempotencyStrategy": "RETURN_EXISTING",
        }
        if version is not None:
            about["version"] = version
        body = "".join((json.dumps(about)[:-1], ', "input": ', payload, "}"))
        return id_of(self._api.call(self._api.workflows.start_workflow, body, not_after=not_after))

    def started(self, name: str, correlation_id: str) -> str | None:
        """The id of the workflow started with this correlation id, running or ended; None if there
        is none.

        On Redis, Conductor asks its index, which learns of it late or never (see
        `worker.delivery.earlier_starts`). So it is for all servers if the name fits no path.
        """
        if not search.fits_path(name):
            return self.started_in_index(name, correlation_id)
        workflows = self.messages.correlated(name, correlation_id, ended=True)
        return id_of(workflows[0].get("workflowId")) if workflows else None

    def started_in_index(self, name: str, correlation_id: str, event_id: str = "") -> str | None:
        """As `search.started_in_index`: the index also shows workflows that have been archived."""
        return search.started_in_index(self._search, name, correlation_id, event_id)

    def end_in_index(self, task_id: str, event_id: str, is_named: bool) -> search.EndInIndex | None:
        """As `search.end_in_index`: for a task that Conductor itself no longer has."""
        return search.end_in_index(self._search, task_id, event_id, is_named)

    def indexes_workflows(self) -> bool:
        """Whether the index has any workflow, so that one that it lacks isn't there."""
        return bool(self._search(WORKFLOWS, "startTime>0", "startTime:DESC", 0, 1))

    def completed_by(self, workflow_id: str, reference_name: str, event_id: str) -> bool:
        """Whether this event has completed a task with that reference name, which Conductor's
        retries of a task share."""
        return any(
            task.get("referenceTaskName") == reference_name and task.get("workerId") == event_id
            for task in tasks_in(self.messages.workflow(workflow_id, tasks=True))
        )

    def correlation_id(self, workflow_id: str) -> str | None:
        """The workflow's correlation id; None if it has none, or Conductor has no such workflow."""
        found: str | None = (self.messages.workflow(workflow_id) or {}).get("correlationId")
        return found

    def runs(self, workflow_id: str) -> bool:
        """Whether the workflow is still running; False if Conductor doesn't have it."""
        return self.messages.status(workflow_id) in UNDER_WAY

    def outcome(self, workflow_id: str) -> End | None:
        """How the workflow ended; None if it hasn't. Raises NotFound if Conductor has no such
        workflow."""
        found = self.messages.workflow(workflow_id)
        if found is None:
            raise NotFound(f"no such workflow: {workflow_id}", 404)
        return end_of(found)

    def evaluate(self, workflow_id: str) -> bool:
        """Has Conductor decide what the workflow does next; returns False if there is no such
        workflow.

        A server that is killed after storing a start or a completion, but before acting on it,
        leaves the workflow stuck. This call gets it going again, and has no effect on one that
        isn't stuck.
        """
        try:
            self._api.call(self._api.workflows.decide, workflow_id)
        except NotFound:
            return False
        return True

    def goes(self, workflow_id: str) -> bool:
        """Whether the workflow has begun or ended: a running one without any task never began."""
        workflow = self.messages.workflow(workflow_id, tasks=True)
        return workflow is None or bool(tasks_in(workflow)) or workflow.get("status") != "RUNNING"

    def workflow(self, workflow_id: str) -> Workflow | None:
        """Its version, and its outermost parent's start and correlation id; None if Conductor has
        no such workflow."""
        own = root = self.messages.workflow(workflow_id)
        while root is not None and root.get("parentWorkflowId"):
            parent = self.messages.workflow(root["parentWorkflowId"])
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
            version=version_of(own),
            root_id=root["workflowId"],
            root_started_at=started,
            root_correlation_id=root.get("correlationId"),
        )

    def workflow_tasks(self, workflow_id: str) -> WorkflowTasks | None:
        """The workflow with its tasks, of which callbacks are for some; None if Conductor has no
        such workflow."""
        found = self.messages.workflow(workflow_id, tasks=True)
        return (
            None if found is None else WorkflowTasks(found, tasks_in(found), self.server_clock.most)
        )

    # --- workflow definitions ---

    def workflow_versions(self) -> dict[str, list[int]]:
        """The workflows that are registered → their versions, in ascending order."""
        # The client has no method for it: `get_all_workflows` reads every definition.
        return versions_of(
            self._api.call(self._api.call_api, "/metadata/workflow/names-and-versions", "GET")
        )

    def workflow_definition(self, name: str, version: int) -> dict[str, Any]:
        """The workflow's definition, as it was registered. Raises NotFound for an unknown name or
        version."""
        found = checked(dict, self._api.call(self._api.metadata.get, name, version=version))
        if found.get("name") != name or found.get("version") != version:
            raise NotThere(
                f"the answer isn't version {version} of workflow {name}: {str(found)[:100]!r}"
            )
        return found

    # --- shared ---

    @property
    def messages(self) -> Messages:
        """The server's message queues."""
        return Messages(self._api)

    def _search(
        self, kind: str, query: str, sort: str, offset: int, size: int
    ) -> list[dict[str, Any]]:
        page: dict[str, Any] = {"start": offset, "size": size, "sort": sort, "query": query}
        if kind == TASKS:
            found = self._api.call(self._api.tasks.search1, **page)
        else:
            # The client's `WorkflowResourceApi.search` takes no order.
            found = self._api.call(
                self._api.call_api, "/workflow/search", "GET", query_params=[*page.items()]
            )
        return checked(list, checked(dict, found).get("results") or [])


def _found_by(task: dict[str, Any]) -> FoundBy:
    """The queue may still hand out a task that it hasn't yet, so the index isn't needed for it."""
    return "queue" if task.get("status") == "SCHEDULED" else "index"


def _waits(task: dict[str, Any], handed_out: int) -> bool:
    """Whether the task is in progress, or so old that a queue would have handed it out before that
    time: a Conductor that is killed may store a task without queueing it (measured)."""
    if task.get("status") == "IN_PROGRESS":
        return True
    is_put_off = bool(task.get("callbackAfterSeconds") or task.get("domain"))
    scheduled = task.get("scheduledTime")
    return (
        task.get("status") == "SCHEDULED"
        and not is_put_off
        and isinstance(scheduled, int)
        and scheduled < handed_out
    )
