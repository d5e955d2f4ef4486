"""Targets, and what is set aside, in words."""

from __future__ import annotations

from collections.abc import Mapping

from store.records import SetAside, SetAsideKind, Target, Task, iso

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


def describe_target(target: Target) -> str:
    """What became of a target, and what to do if it was refused."""
    if target.kind == "complete":
        what = f"task {target.reference_name} of {target.workflow} ({target.workflow_id})"
        done, doing = "Completed", "Completing"
    elif target.kind == "message":
        what = f"the message to {target.workflow}" + (
            f" ({target.workflow_id})" if target.workflow_id else ""
        )
        done, doing = "Delivered", "Delivering"
    else:
        what = target.workflow + (f" version {target.version}" if target.version else "")
        what += f" ({target.workflow_id})" if target.workflow_id else ""
        done, doing = "Started", "Starting"
    match target.state:
        case "done":
            return f"{done} {what}."
        case "queued":
            return f"Next in turn: {what} waits for earlier messages with its key."
        case "skipped" | "cancelled" if target.kind == "message":
            return f"Not delivered: {what}: {target.error}."
        case "skipped":
            return f"Not started: {target.workflow} already exists for the same `once.key` ({target.workflow_id})."
        case "pending" | "claimed":
            tries = f", attempts so far: {target.attempts}" if target.attempts else ""
            if target.only_versions is not None:
                versions = " or ".join(map(str, sorted(target.only_versions)))
                what += f" if its workflow is version {versions}, which is still to be looked up in Conductor"
            return f"{doing} {what}{tries}" + (
                f"; the last one failed: {error_of(target)}{again(target)}."
                if target.error
                else "."
            )
        case "cancelled":
            gone = "it had already ended: cancelled, timed out, or completed by someone else"
            return f"{what[:1].upper()}{what[1:]} wasn't completed: {target.error or gone}."
        case "unknown":
            remedy = "Look for its effect in Conductor; then replay the event, or acknowledge it."
            return (
                f"It can't be found out whether {what} was completed: {error_of(target)}. {remedy}"
            )
        case _:
            remedy = ""
            if "No such workflow" in (target.error or ""):
                entry = "messages" if target.kind == "message" else "starts"
                remedy = f" Register the workflow in Conductor, or correct `{entry}`; then replay."
            return f"{doing} {what} failed permanently: {(target.error or '').rstrip('.')}.{remedy}"


def again(target: Target) -> str:
    """When the next attempt is, behind a semicolon; nothing if it is under way."""
    return f"; the next one is at {iso(target.due_at)}" if target.state == "pending" else ""


def error_of(target: Target) -> str:
    """Its last error, without a full stop."""
    return (target.error or "for an unknown reason").rstrip(".")
