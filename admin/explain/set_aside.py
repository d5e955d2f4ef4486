"""What is set aside, in words: why, since when, and when it is tried next."""

from __future__ import annotations

from collections.abc import Mapping

from store.records import SetAside, SetAsideKind, Task, iso

SetAsides = Mapping[tuple[SetAsideKind, str], SetAside]
"""(kind, id) → what is known about it."""
NOTHING: SetAsides = {}


def by_item(found: list[SetAside]) -> SetAsides:
    """Indexes what was found by kind and id."""
    return {(item.kind, item.id): item for item in found}


def name_of(item: SetAside) -> str:
    """``task 0193… of orders``."""
    return f"{item.kind} {item.id}" + (f" of {item.webhook}" if item.webhook else "")


def why(item: SetAside) -> str:
    """Its last error, how often it has failed, and since when."""
    times = "once" if item.tries == 1 else f"{item.tries} times"
    return f"{item.reason.rstrip('.')} (failed {times} since {iso(item.since)})"


def next_try(item: SetAside) -> str:
    """When it is tried next."""
    return f"it is tried again automatically at {iso(item.due_at)}"


def describe_set_aside(item: SetAside) -> str:
    """All of that in one phrase."""
    return f"set aside: {why(item)}; {next_try(item)}"


def task_set_aside(task: Task, set_aside: SetAsides) -> str | None:
    """Says that the task or its workflow is set aside, and why. None if neither is."""
    if (item := item_of(task, set_aside)) is None:
        return None
    return f"{'the task' if item.kind == 'task' else 'its workflow'} is {describe_set_aside(item)}"


def item_of(task: Task, set_aside: SetAsides) -> SetAside | None:
    """What is set aside: the task, or else its workflow."""
    return set_aside.get(("task", task.id)) or set_aside.get(("workflow", task.workflow_id))
