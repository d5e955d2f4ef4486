"""Reads Conductor's answers without trusting them: a proxy, another server or a bug may return
anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from criteria.matches import matches_of
from store.records import Task
from worker.conductor.errors import Garbled, NotThere, OutcomeUnknown

UNDER_WAY = ("RUNNING", "PAUSED")
"""The statuses of a workflow that hasn't ended."""
_T = TypeVar("_T", list[Any], dict[str, Any])
_LAST_MOMENT = 253_402_300_800_000
"""The year 10,000, in Unix milliseconds."""
_TERMINAL = frozenset(
    (
        "COMPLETED",
        "COMPLETED_WITH_ERRORS",
        "CANCELED",
        "FAILED",
        "FAILED_WITH_TERMINAL_ERROR",
        "TIMED_OUT",
        "SKIPPED",
    )
)


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """What Conductor says about one task."""

    terminal: bool
    worker_id: str | None
    """After a completion by name: the `workerid` of the call that won, which is the event's id if
    it was ours."""


class Listed(NamedTuple):
    """What a search says about a task."""

    workflow: str
    """The name of the task's workflow; empty if unknown."""
    as_of: str
    """When the task started and was last updated, as the search says it: differs once the task runs
    again."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A task in a list that can't be read."""

    id: str | None
    """The task's id, if known."""
    reason: str
    workflow: str = ""
    """The name of the task's workflow; empty if unknown."""


@dataclass(frozen=True, slots=True)
class End:
    """How a workflow ended."""

    status: str
    """In Conductor's words."""
    output: Any
    ended_at: int | None
    """Unix milliseconds by the server's clock; None if it doesn't say."""
    is_apart: bool = False
    """Whether the output is so large that the server keeps it elsewhere, and doesn't show it."""


def end_of(workflow: dict[str, Any]) -> End | None:
    """How the workflow ended; None while it runs or is paused. Raises Garbled if it has no status."""
    status = workflow_status(workflow)
    if status in UNDER_WAY:
        return None
    apart = bool(workflow.get("externalOutputPayloadStoragePath"))
    return End(status, workflow.get("output"), _moment(workflow.get("endTime")), apart)


def workflow_status(workflow: dict[str, Any]) -> str:
    """Its status. Raises Garbled if it has none: it may be running."""
    status = workflow.get("status")
    if not isinstance(status, str) or not status:
        raise Garbled("the workflow has no status")
    return status


def versions_of(answer: Any) -> dict[str, list[int]]:
    """Workflow → versions in ascending order; an empty list for one whose versions can't be read.
    Raises NotThere.

    Names that can't be shown are left out, such as one with a lone surrogate.
    """
    names = checked(dict, answer)
    return {
        name: _versions(listed) for name, listed in names.items() if listed and name.isprintable()
    }


def _versions(listed: Any) -> list[int]:
    if not isinstance(listed, list):
        return []
    numbers = (one.get("version") for one in listed if isinstance(one, dict))
    return sorted({number for number in numbers if type(number) is int})


def _moment(written: Any) -> int | None:
    """A time such as ``1700000000000`` or ``2026-11-25T01:30:01.277Z`` in Unix milliseconds; None
    if it can't be read, or is none that a calendar has."""
    try:
        if isinstance(written, str):
            written = round(
                datetime.fromisoformat(written.replace("Z", "+00:00")).timestamp() * 1000
            )
        return int(written) if 0 < written < _LAST_MOMENT else None
    except (TypeError, ValueError):
        return None


def tasks_of(
    items: Sequence[Any], found_by: Any, domain: str | None, unreadable: list[Unreadable] | None
) -> list[Task]:
    found: list[Task] = []
    for item in items:
        try:
            found.append(
                task_of(item, found_by, domain if domain is not None else item.get("domain"))
            )
        except (Garbled, AttributeError) as error:
            if unreadable is not None:
                id_, workflow = named_in(item)
                unreadable.append(Unreadable(id_, str(error), workflow=workflow))
    return found


def named_in(item: Any) -> tuple[str | None, str]:
    """The id of a list's task, or None, and the name of its workflow, or an empty text."""
    match item:
        case {"taskId": str(id_), "workflowType": str(workflow)}:
            return id_, workflow
        case {"taskId": str(id_)}:
            return id_, ""
        case {"workflowType": str(workflow)}:
            return None, workflow
    return None, ""


def listed_in(item: dict[str, Any]) -> Listed:
    """What the search's item says."""
    return Listed(named_in(item)[1], f"{item.get('startTime')} {item.get('updateTime')}")


def task_of(item: dict[str, Any], found_by: Any, domain: str | None) -> Task:
    """The item as a task. Raises Garbled if it isn't one."""
    try:
        task = _read_task(item, found_by, domain)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Garbled(f"a task can't be read: {type(error).__name__}: {error}") from error
    texts = (task.id, task.workflow_id, task.workflow, task.reference_name, task.domain or "")
    numbers = (task.scheduled_at, task.response_timeout)
    if not all(isinstance(text, str) for text in texts) or not all(
        type(number) is int for number in numbers
    ):
        raise Garbled(f"a task can't be read: it has {texts} and {numbers}"[:500])
    return task


def _read_task(item: dict[str, Any], found_by: Any, domain: str | None) -> Task:
    timeouts = (
        (item.get("taskDefinition") or {}).get("responseTimeoutSeconds"),
        ((item.get("workflowTask") or {}).get("taskDefinition") or {}).get(
            "responseTimeoutSeconds"
        ),
        item.get("responseTimeoutSeconds"),
    )
    return Task(
        id=item["taskId"],
        workflow_id=item["workflowInstanceId"],
        workflow=item.get("workflowType") or "",
        reference_name=item["referenceTaskName"],
        matches=matches_of(item.get("inputData")),
        scheduled_at=item.get("scheduledTime") or item.get("startTime") or 0,
        response_timeout=max(seconds if type(seconds) is int else 0 for seconds in timeouts),
        domain=domain,
        found_by=found_by,
        iteration=iteration_of(item),
    )


def iteration_of(task: dict[str, Any]) -> int | None:
    """Which iteration of its loop the task is, 0 in none; None if the answer doesn't say."""
    iteration = task.get("iteration")
    return iteration if type(iteration) is int else None


def version_of(workflow: dict[str, Any]) -> int:
    version = workflow.get("workflowVersion")
    if not isinstance(version, int):
        raise NotThere(f"the answer isn't a workflow: its version is {str(version)[:100]!r}")
    return version


def moment_of(item: Any) -> int | None:
    """When the item's task started (Unix milliseconds by the server's clock); None if unreadable."""
    return _moment(item.get("startTime")) if isinstance(item, dict) else None


def status_of(task: dict[str, Any]) -> TaskStatus:
    """What the answer for one task says about it."""
    return TaskStatus(task.get("status") in _TERMINAL, task.get("workerId"))


def tasks_in(workflow: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The tasks in the answer for one workflow; none if Conductor doesn't have it."""
    return objects((workflow or {}).get("tasks") or [])


def objects(items: Any) -> list[dict[str, Any]]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Garbled("a list in the answer holds something other than objects")
    return items


def checked(kind: type[_T], answer: Any) -> _T:
    """The answer, if it has that type. Raises NotThere otherwise: a proxy or another server may
    also answer 200."""
    if not isinstance(answer, kind):
        raise NotThere(
            f"what answers at CONDUCTOR_SERVER_URL isn't Conductor's API: {str(answer)[:100]!r}"
        )
    return answer


def about_workflow(workflow_id: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, if it is that workflow: rules depend on what it says and on what it omits. Raises
    NotThere."""
    if answer.get("workflowId") != workflow_id or not isinstance(answer.get("status", ""), str):
        raise NotThere(f"the answer isn't workflow {workflow_id}: {str(answer)[:100]!r}")
    return answer


def id_of(answer: Any) -> str:
    if not isinstance(answer, str) or not re.fullmatch(r"[\w.:/-]{1,255}", answer):
        raise OutcomeUnknown(f"the answer is not an id: {str(answer)[:100]!r}")
    return answer
