"""Targets, and what is set aside, in words."""

from __future__ import annotations

from collections.abc import Mapping

from store.records import SetAside, SetAsideKind, Target, TargetKind, Task, iso

SetAsides = Mapping[tuple[SetAsideKind, str], SetAside]
"""(kind, id) → what is known about it."""


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
    item = item_of(task, set_aside)
    if item is None:
        return None
    which = "the task" if item.kind == "task" else "its workflow"
    return f"{which} is {describe_set_aside(item)}"


def item_of(task: Task, set_aside: SetAsides) -> SetAside | None:
    """What is set aside: the task, or else its workflow."""
    return set_aside.get(("task", task.id)) or set_aside.get(("workflow", task.workflow_id))


def describe_target(target: Target) -> str:
    """What became of a target, and what to do if it was refused."""
    what, (done, doing) = _named(target), _VERBS[target.kind]
    match target.state:
        case "done":
            return f"{done} {what}."
        case "queued":
            return f"Next in turn: {what} waits for earlier messages with its key."
        case "skipped" | "cancelled" if target.kind == "message":
            return f"Not delivered: {what}: {target.error}."
        case "skipped" if target.kind == "start":
            return (
                f"Not started: {target.workflow} already exists for the same `once.key`"
                f" ({target.workflow_id})."
            )
        case "pending" | "claimed":
            return f"{doing} {what}{_tries(target)}."
        case "cancelled" | "skipped":
            gone = "it had already ended: cancelled, timed out, or completed by someone else"
            return f"{what[:1].upper()}{what[1:]} wasn't completed: {target.error or gone}."
        case "unknown":
            remedy = "Look for its effect in Conductor; then replay the event, or acknowledge it."
            return (
                f"It can't be found out whether {what} was completed: {error_of(target)}. {remedy}"
            )
        case "failed":
            error = (target.error or "").rstrip(".")
            return f"{doing} {what} failed permanently: {error}.{_remedy(target)}"


_VERBS: Mapping[TargetKind, tuple[str, str]] = {
    "complete": ("Completed", "Completing"),
    "start": ("Started", "Starting"),
    "message": ("Delivered", "Delivering"),
}


def _named(target: Target) -> str:
    workflow_id = f" ({target.workflow_id})" if target.workflow_id else ""
    match target.kind:
        case "complete" if target.task_id is None:
            return f"task {target.reference_name} of workflow {target.workflow_id}"
        case "complete":
            return f"task {target.reference_name} of {target.workflow}{workflow_id}"
        case "message":
            return f"the message to {target.workflow}{workflow_id}"
        case "start":
            version = f" version {target.version}" if target.version else ""
            return f"{target.workflow}{version}{workflow_id}"


def _tries(target: Target) -> str:
    tries = f", attempts so far: {target.attempts}" if target.attempts else ""
    if not target.error:
        return tries
    return f"{tries}; the last one failed: {error_of(target)}{again(target)}"


def _remedy(target: Target) -> str:
    if "No such workflow" not in (target.error or ""):
        return ""
    entry = "messages" if target.kind == "message" else "starts"
    return f" Register the workflow in Conductor, or correct `{entry}`; then replay."


def again(target: Target) -> str:
    """When the next attempt is, behind a semicolon; nothing if it is under way."""
    return f"; the next one is at {iso(target.due_at)}" if target.state == "pending" else ""


def error_of(target: Target) -> str:
    """Its last error, without a full stop."""
    return (target.error or "for an unknown reason").rstrip(".")
