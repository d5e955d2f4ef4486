"""Searches Conductor's index for tasks, page by page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

from worker.conductor.responses import id_of, moment_of, objects

TASK_TYPE = "WAIT_FOR_WEBHOOK"
PAGE = 1000
"""Items of a page."""
TASKS = "tasks"
"""The search for tasks: it returns summaries, of which only the ids and the workflows' names are
used."""
WORKFLOWS = "workflows"
"""The search for workflows."""
_IN_PROGRESS = f"taskType='{TASK_TYPE}' AND status='IN_PROGRESS'"


Search = Callable[[str, str, str, int, int], list[Any]]
"""What to search for, query, order, offset and size → the page. Raises ConductorError."""


def in_progress(
    search: Search, start: int, most: int = PAGE, workflow: str = ""
) -> Iterator[list[dict[str, Any]]]:
    """Pages of `most` items: summaries of the tasks that started after that time by the server's
    clock, of any workflow or of those with that name; of any, if a query can't have it.

    Each page begins where the last one ended, so that offsets stay within an index's limit. Raises
    ConductorError.
    """
    seen: set[str] = set()
    offset = 0
    of = f" AND workflowType='{workflow}'" if _EXACT.fullmatch(workflow) else ""
    while True:
        page = search(
            TASKS, f"{_IN_PROGRESS}{of} AND startTime>{start}", "startTime:ASC", offset, most
        )
        listed = _with_ids(page)
        yield [
            item
            for item in listed
            if item["taskId"] not in seen and item.get("status") == "IN_PROGRESS"
        ]
        if len(page) < most:
            return
        last = max(
            (moment for item in listed if (moment := moment_of(item)) is not None), default=0
        )
        if last - 1 > start:
            start, offset = last - 1, 0
            seen = {item["taskId"] for item in listed}
        else:  # the whole page started at the same moment: continue inside it
            seen |= {item["taskId"] for item in listed}
            offset += most


def ended_since(search: Search, end: int, size: int) -> set[str]:
    """What `Conductor.ended_since` returns, from pages of that size."""
    query = f"taskType='{TASK_TYPE}' AND endTime>{end}"
    ended: set[str] = set()
    for offset in range(0, 5 * size, size):  # if there are more, reconciliation finds them
        page = search(TASKS, query, "endTime:DESC", offset, size)
        ended |= {item["taskId"] for item in _with_ids(page) if item.get("status") != "IN_PROGRESS"}
        if len(page) < size:
            break
    return ended


def _with_ids(page: list[Any]) -> list[dict[str, Any]]:
    return [item for item in page if isinstance(item, dict) and isinstance(item.get("taskId"), str)]


def fits_path(name: str) -> bool:
    """Whether a path may contain the name: Tomcat answers 400 to one with these characters, however
    encoded, and dots alone lead to another path."""
    return name not in (".", "..") and not {"/", "\\"}.intersection(name)


def started_in_index(
    search: Search, name: str, correlation_id: str, event_id: str = ""
) -> str | None:
    """The id of the newest workflow with that correlation id, and that event's id in its input;
    None if the index has none, or can't be asked for that correlation id."""
    found = (
        id_of(one.get("workflowId"))
        for one in _with(search, WORKFLOWS, "correlationId", correlation_id)
        if one.get("workflowType") == name and event_id in str(one.get("input"))
    )
    return next(found, None)


EndInIndex = Literal["by the event", "otherwise"]
"""How a task ended that Conductor no longer has."""
_NEVER_RETRIED = frozenset({"CANCELED", "FAILED_WITH_TERMINAL_ERROR", "SKIPPED"})
"""The event may have gone to the retry of a task with another status, which has the same reference
name."""


def end_in_index(search: Search, task_id: str, event_id: str, is_named: bool) -> EndInIndex | None:
    """How the task ended; None if the index doesn't prove it.

    A summary has no `workerId`, but the output as text, unless it is large and kept elsewhere.
    `is_named`: whether the event's output would name the event.
    """
    for task in _with(search, TASKS, "taskId", task_id):
        status = task.get("status")
        if status == "COMPLETED" and event_id in str(task.get("output")):
            return "by the event"
        shows_another = is_named and "externalOutputPayloadStoragePath" not in task
        if status in _NEVER_RETRIED or (status == "COMPLETED" and shows_another):
            return "otherwise"
    return None


_EXACT = re.compile(r"[\w.:;#@/=%+&$~-]+", re.ASCII)
"""Texts that every index compares as they are. Quotes, commas, parentheses, asterisks and others
mean something to one of them (measured)."""


def _with(search: Search, what: str, field: str, value: str) -> list[dict[str, Any]]:
    """The newest summaries in which the field has exactly this value."""
    if not _EXACT.fullmatch(value):
        return []
    found = search(what, f"{field}='{value}'", "startTime:DESC", 0, 100)
    return [one for one in objects(found) if one.get(field) == value]
