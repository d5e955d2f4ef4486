"""One target in words: a task completed, a workflow started, or a message given to one, by an event."""

from __future__ import annotations

from admin.explain.results import Verdict
from store.records import Target, iso


def describe_own_target(target: Target) -> tuple[Verdict, str]:
    when = iso(target.settled_at)
    match target.state:
        case "done":
            return "taken", f"this event completed it at {when}"
        case "pending" | "claimed":
            last = f"; the last attempt failed: {_error(target)}{_again(target)}" if target.error else ""
            doubt = ""
            if target.only_versions is not None:
                versions = " or ".join(map(str, sorted(target.only_versions)))
                doubt = f" if its workflow is version {versions}, which is still to be looked up in Conductor"
            return "taken", f"this event is completing it{doubt} (attempts so far: {target.attempts}){last}"
        case "cancelled":
            return (
                "out of reach",
                f"it had already ended when this event tried to complete it, at {when}: "
                f"{target.error or 'cancelled, timed out, or completed by someone else'}",
            )
        case _:
            return "matches", f"Conductor permanently refused to let this event complete it: {target.error}"


def describe_target(target: Target) -> str:
    """What became of a target, and what to do if it was refused."""
    if target.kind == "complete":
        what = f"task {target.reference_name} of {target.workflow} ({target.workflow_id})"
        done, doing = "Completed", "Completing"
    elif target.kind == "message":
        what = f"the message to {target.workflow}" + (f" ({target.workflow_id})" if target.workflow_id else "")
        done, doing = "Delivered", "Delivering"
    else:
        what = target.workflow + (f" version {target.version}" if target.version else "")
        what += f" ({target.workflow_id})" if target.workflow_id else ""
        done, doing = "Started", "Starting"
    match target.state:
        case "done":
            return f"{done} {what} at {iso(target.settled_at)}."
        case "queued":
            return f"Next in turn: {what} waits for earlier messages with its key."
        case "skipped" | "cancelled" if target.kind == "message":
            return f"Not delivered: {what}: {target.error}."
        case "skipped":
            return f"Not started: {target.workflow} already exists for the same `once.key` ({target.workflow_id})."
        case "pending" | "claimed":
            tries = f", attempts so far: {target.attempts}" if target.attempts else ""
            return f"{doing} {what}{tries}" + (
                f"; the last one failed: {_error(target)}{_again(target)}." if target.error else "."
            )
        case "cancelled":
            return f"{what} had already ended: {target.error or 'cancelled, timed out, or completed by someone else'}."
        case _:
            remedy = ""
            if "No such workflow" in (target.error or ""):
                entry = "messages" if target.kind == "message" else "starts"
                remedy = f" Register the workflow in Conductor, or correct `{entry}`; then replay."
            return f"{doing} {what} failed permanently: {(target.error or '').rstrip('.')}.{remedy}"


def _again(target: Target) -> str:
    return f"; the next one is at {iso(target.due_at)}" if target.state == "pending" else ""


def _error(target: Target) -> str:
    return (target.error or "for an unknown reason").rstrip(".")
