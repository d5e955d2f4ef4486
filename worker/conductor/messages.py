"""Conductor's message queues: each running workflow has one, which its PULL_WORKFLOW_MESSAGES tasks
read.

Measured on Conductor OSS 3.32.3. A queue can't be read (405). A push to a workflow that is paused
or has ended is answered 409, to an unknown one 404, beyond 1,000 messages 429, each with plain
text. The feature is off by default: then the path isn't there, 404 too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.conductor.errors import ConductorError, Garbled, NotFound, Refused, must_name
from worker.conductor.responses import (
    UNDER_WAY,
    about_workflow,
    checked,
    id_of,
    objects,
    tasks_in,
    workflow_status,
)
from worker.conductor.search import fits_path

if TYPE_CHECKING:
    from worker.conductor.api import Api

PULL_TYPE = "PULL_WORKFLOW_MESSAGES"
"""The type of the tasks that read a workflow's queue."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """A workflow with a certain correlation id."""

    id: str
    status: str
    created_at: int
    """By Conductor's clock."""
    event_id: str | None
    """The event whose payload is its input; None if its input is none."""


class Messages:
    """Calls about message queues, and the workflows that have them. A failed one raises
    ConductorError. Thread-safe."""

    def __init__(self, api: Api):
        self._api = api

    # --- the workflows that have them

    def workflow(self, workflow_id: str, tasks: bool = False) -> dict[str, Any] | None:
        """The workflow as it came, with its tasks or without; None if Conductor has no such
        workflow."""
        get = self._api.workflows.get_execution_status
        try:
            found = checked(dict, self._api.call(get, workflow_id, include_tasks=tasks))
        except NotFound as error:
            must_name(workflow_id, error)
            return None
        return about_workflow(workflow_id, found)

    def correlated(
        self, name: str, key: str, ended: bool, largest: int | None = None
    ) -> list[dict[str, Any]]:
        """The workflows of this name with the key as correlation id; those that have ended or are
        paused, if `ended`.

        `largest`: as of `Api.call`. Raises Refused, without a call, for a name that fits no path.
        """
        if not fits_path(name):
            raise Refused(
                f"Conductor can't be asked for workflows named {name}: no path can hold that name"
            )
        # `get_workflows2`, a GET, refuses keys with a slash.
        get = self._api.workflows.get_workflows
        found = checked(
            dict,
            self._api.call(
                get, [key], name, include_closed=ended, include_tasks=False, largest=largest
            ),
        )
        if found.keys() - {key}:
            raise Garbled(
                f"the answer isn't about that correlation id: it has {len(found)} of them"
            )
        return objects(found.get(key) or [])

    # --- messages

    def push(self, workflow_id: str, message: str, not_after: float = float("inf")) -> None:
        """Puts the message, the text of a JSON object, at the end of the workflow's queue.

        The request leaves before `not_after` (`time.monotonic`), or not at all: then NotNow is
        raised.
        """
        self._api.call(
            self._api.workflows.send_workflow_message, message, workflow_id, not_after=not_after
        )

    def with_key(self, name: str, key: str, ended: bool, largest: int | None = None) -> list[Keyed]:
        """The running workflows of this name with the key as correlation id, newest first.

        If `ended`, those that are paused or have ended too. `largest`: as of `Api.call`. Raises
        Garbled for one without a status: it may be running.
        """
        keyed = [
            Keyed(
                id_of(item.get("workflowId")),
                workflow_status(item),
                created if isinstance(created := item.get("createTime"), int) else 0,
                _event_of(item.get("input")),
            )
            for item in self.correlated(name, key, ended, largest)
        ]
        return sorted(keyed, key=lambda one: (one.created_at, one.id), reverse=True)

    def status(self, workflow_id: str) -> str | None:
        """The workflow's status, such as ``RUNNING``; None if Conductor has no such workflow."""
        found = self.workflow(workflow_id)
        return None if found is None else workflow_status(found)

    def was_pulled(self, workflow_id: str, event_id: str) -> bool:
        """Whether a task of the workflow has read the message of this event."""
        return event_id in _read_in(self.workflow(workflow_id, tasks=True) or {})

    def unread(self, workflow_id: str, event_ids: Sequence[str]) -> list[str] | None:
        """Which of these events' messages, pushed in this order, the workflow has ended without
        reading; None if it hasn't ended.

        None of them if that can't be told, as Conductor has put what a task read elsewhere. Raises
        NotFound if it doesn't know the workflow.
        """
        if self.status(workflow_id) in UNDER_WAY:
            return None
        found = self.workflow(workflow_id, tasks=True)
        if found is None:
            raise NotFound(f"no such workflow: {workflow_id}", 404)
        if any("externalOutputPayloadStoragePath" in task for task in _pulls(found)):
            return []
        read = _read_in(found)
        # A loop may keep only its last tasks, but a queue is read in order.
        last = max(
            (place for place, event_id in enumerate(event_ids) if event_id in read), default=-1
        )
        own = _event_of(found.get("input"))
        return [event_id for event_id in event_ids[last + 1 :] if event_id != own]

    def are_on(self) -> bool:
        """Whether the server has message queues."""
        # No server has this call: the client's method only pushes.
        path = "/workflow/webhook-bridge-check/messages"
        try:
            self._api.call(self._api.call_api, path, "GET")
        except NotFound:
            return True
        except ConductorError as error:
            if error.status in (404, 405):
                return error.status == 405
            raise
        return True


def _pulls(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [task for task in tasks_in(workflow) if task.get("taskType") == PULL_TYPE]


def _read_in(workflow: dict[str, Any]) -> set[str | None]:
    """The events whose messages its tasks have read."""
    pulled = ((task.get("outputData") or {}).get("messages") or [] for task in _pulls(workflow))
    return {
        _event_of(message.get("payload")) for messages in pulled for message in objects(messages)
    }


def _event_of(payload: Any) -> str | None:
    """The event that the payload is of."""
    match payload:
        case {"_webhook": {"eventId": str(event_id)}}:
            return event_id
    return None
