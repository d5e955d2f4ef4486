"""Searches Conductor's index for tasks, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from worker.conductor.responses import id_of, moment_of, objects

TASK_TYPE = "WAIT_FOR_WEBHOOK"
PAGE = 1000
"""Items of a page."""
TASKS = "tasks"
"""The search for tasks: it returns summaries, of which only the ids and the workflows' names are used."""
WORKFLOWS = "workflows"
"""The search for workflows."""
_IN_PROGRESS = f"taskType='{TASK_TYPE}' AND status='IN_PROGRESS'"


Search = Callable[[str, str, str, int, int], list[Any]]
"""What to search for, query, order, offset and size → the page. Raises ConductorError."""


def in_progress(search: Search, start: int, most: int = PAGE) -> Iterator[list[dict[str, Any]]]:
    """Pages of `most` items: summaries of the tasks that started after that time by the server's clock.

    Each page begins where the last one ended, so that offsets stay within an index's limit. Raises ConductorError.
    """
    seen: set[str] = set()
    offset = 0
    while True:
        page = search(TASKS, f"{_IN_PROGRESS} AND startTime>{start}", "startTime:ASC", offset, most)
        listed = _with_ids(page)
        yield [item for item in listed if item["taskId"] not in seen and item.get("status") == "IN_PROGRESS"]
        if len(page) < most:
            return
        last = max((moment for item in listed if (moment := moment_of(item)) is not None), default=0)
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
    """Whether a path may contain the name: Tomcat answers 400 to one with these characters, however encoded, and dots
    alone lead to another path."""
    return name not in (".", "..") and not {"/", "\\"}.intersection(name)


def started_in_index(search: Search, name: str, correlation_id: str) -> str | None:
    """The id of the workflow started with this correlation id, an event's; None if the index has none."""
    found = search(WORKFLOWS, f"correlationId='{correlation_id}'", "startTime:DESC", 0, 100)
    return next((id_of(one.get("workflowId")) for one in objects(found) if one.get("workflowType") == name), None)
