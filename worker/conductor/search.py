"""Searches Conductor's index for tasks in progress, page by page, working around those that make a page fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from worker.conductor.errors import BrokenOff, ConductorError, is_of_an_item
from worker.conductor.responses import Unreadable, id_of, moment_of, named_in, objects

TASK_TYPE = "WAIT_FOR_WEBHOOK"
PAGE = 1000
"""Items of a page."""
_NARROWINGS = 25
"""Failed pages after which a search breaks off, since its caller has other work."""
_FRUITLESS = 100
"""Failed pages without progress after which a search counts as failed."""
_NARROWER = 8
"""How many times smaller the page after a failed one is. Usually few tasks wait, so pages are small anyway."""
_FAR = 32_503_680_000_000
"""Milliseconds: the year 3000, after which no task has started."""
_IDS = "/tasks/search"
"""The search that returns summaries, of which only the ids and the workflows' names are used."""
WORKFLOWS = "/workflow/search"
"""The search for workflows."""
_IN_PROGRESS = f"taskType='{TASK_TYPE}' AND status='IN_PROGRESS'"


Search = Callable[[str, str, str, int, int], list[Any]]
"""Path, query, order, offset and size → the page. Raises ConductorError."""


def in_progress(
    search: Search, path: str, start: int, unreadable: list[Unreadable] | None, most: int = PAGE
) -> Iterator[list[dict[str, Any]]]:
    """Pages of `most` items with an id: tasks that started after that time by the server's clock.

    Each page begins where the last one ended, so that offsets stay within an index's limit. A failed page is split into
    smaller ones; an item that fails alone goes into `unreadable`. Raises ConductorError; BrokenOff if too many
    pages failed but the search made progress.
    """
    unreadable = [] if unreadable is None else unreadable
    seen: set[str] = set()
    began_at = start
    offset, size, narrowed = 0, most, 0
    while True:
        query = f"{_IN_PROGRESS} AND startTime>{start}"
        try:
            page = search(path, query, "startTime:ASC", offset, size)
        except ConductorError as error:
            narrowed += 1
            if not is_of_an_item(error) or narrowed > _FRUITLESS or not (narrowed > 1 or answers(search, path)):
                raise
            if narrowed > _NARROWINGS and start > began_at:
                raise BrokenOff(start) from error
            if size > 1:
                size = max(1, size // _NARROWER)
                continue
            id_, workflow = _named_at(search, path, query, offset)
            unreadable.append(Unreadable(id_, str(error), workflow))
            offset += 1
            continue
        listed = [item for item in page if isinstance(item, dict) and isinstance(item.get("taskId"), str)]
        if len(listed) < len(page):
            unknown = Unreadable(None, "an item of the search has no id")
            unreadable += [unknown] * (len(page) - len(listed))
        yield [item for item in listed if item["taskId"] not in seen and item.get("status") == "IN_PROGRESS"]
        if len(page) < size:
            return
        last = max((moment for item in listed if (moment := moment_of(item)) is not None), default=0)
        if last - 1 > start:
            start, offset = last - 1, 0
            seen = {item["taskId"] for item in listed}
        else:  # the whole page started at the same moment: continue inside it
            seen |= {item["taskId"] for item in listed}
            offset += size
        size = min(2 * size, most)


def ended_since(search: Search, end: int, size: int) -> set[str]:
    """What `Conductor.ended_since` returns, from pages of that size."""
    query = f"taskType='{TASK_TYPE}' AND endTime>{end}"
    ended: set[str] = set()
    for offset in range(0, 5 * size, size):  # if there are more, reconciliation finds them
        try:
            page = search(_IDS, query, "endTime:DESC", offset, size)
        except ConductorError as error:
            if is_of_an_item(error) and answers(search, _IDS):  # it isn't proof anyway
                break
            raise
        items = [item for item in page if isinstance(item, dict) and isinstance(item.get("taskId"), str)]
        ended |= {item["taskId"] for item in items if item.get("status") != "IN_PROGRESS"}
        if len(page) < size:
            break
    return ended


def fits_path(name: str) -> bool:
    """Whether a path may contain the name: Tomcat answers 400 to one with these characters, however encoded."""
    return not {"/", "\\"}.intersection(name)


def started_in_index(search: Search, name: str, correlation_id: str) -> str | None:
    """The id of the workflow started with this correlation id, an event's; None if the index has none."""
    found = search(WORKFLOWS, f"correlationId='{correlation_id}'", "startTime:DESC", 0, 100)
    return next((id_of(one.get("workflowId")) for one in objects(found) if one.get("workflowType") == name), None)


def answers(search: Search, path: str) -> bool:
    """Whether this kind of search works: if so, it failed because of a single task."""
    try:
        search(path, f"{_IN_PROGRESS} AND startTime>{_FAR}", "startTime:ASC", 0, 1)
    except ConductorError:
        return False
    return True


def _named_at(search: Search, path: str, query: str, offset: int) -> tuple[str | None, str]:
    """The id of the task at this offset, and its workflow's name, as far as the search for ids returns them."""
    if path == _IDS:
        return None, ""
    try:
        [item] = search(_IDS, query, "startTime:ASC", offset, 1)
    except (ConductorError, TypeError, ValueError):
        return None, ""
    return named_in(item)
