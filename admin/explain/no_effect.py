"""Why an event came to nothing that was for one target only, or for messages, and what can still be done: pure."""

from __future__ import annotations

from collections.abc import Sequence

from config.webhooks import Webhook
from store.one_target import NO_SUCH_WORKFLOW, OneTarget
from store.records import Event, Target, iso


def single_target_without_effect(event: Event, only: OneTarget, targets: Sequence[Target]) -> str:
    """Of an event that is expired or ignored: a replay to one target, or a callback."""
    if only.kind == "callback":
        return _callback_without_effect(event, only, targets)
    if event.status == "expired":
        return f"Expired: the {only}, the only target it may have, didn't wait for it until {iso(event.hold_until)}."
    if only.kind == "complete":
        return f"Ignored: {only.workflow} is no longer a receiver, and the event may go to no other."
    return f"Ignored: the webhook no longer makes the {only} for it, and it may have no other target."


def _callback_without_effect(event: Event, only: OneTarget, targets: Sequence[Target]) -> str:
    if event.status == "ignored" and only.made_at is not None:
        return f"Ignored: the {only} that its URL was made for was completed by another event, which came first."
    if event.status == "ignored":
        return "Ignored: Conductor has no such workflow, so somebody made the URL up. The event will be deleted soon."
    if not targets:
        return (
            f"Expired: the {only} didn't start waiting until {iso(event.hold_until)}. If it waits now, or still will, "
            "replay the event: it is held for it again."
        )
    return (
        f"Expired: the {only} has ended without it, so a replay alone finds nothing to complete. To use it after all, "
        "have Conductor run the task again (rerun or retry its workflow), then replay the event; for a task of another "
        "workflow make a new URL. If nothing is left to do, acknowledge it."
    )


def failed_callback(targets: Sequence[Target]) -> str:
    """Of a callback that failed."""
    if any((target.error or "").startswith(NO_SUCH_WORKFLOW) for target in targets):
        return (
            "Failed: its workflow is not in Conductor: it was removed, or is on another server. Until that changes a "
            "replay can't help; make a new URL for a workflow that runs, and acknowledge the event."
        )
    return "Failed: its task couldn't be completed. Do what its target says, and replay the event while the task waits."


def messages_without_effect(event: Event, targets: Sequence[Target], webhook: Webhook | None) -> str | None:
    """Of an event that is expired or ignored: why its messages went nowhere; None if it has none of these."""
    ends = {target.state for target in targets if target.kind == "message"}
    reasons = []
    if event.status == "expired" and event.only is None and webhook is not None and webhook.receivers:
        reasons.append("no matching task started waiting for it in time")
    if "skipped" in ends:
        reasons.append("no workflow with its key was running, and `else: ignore` starts none")
    if "cancelled" in ends:
        until = iso(event.hold_until)
        reasons.append(f"by `else: hold` it was held until {until}, and no workflow with its key started running")
    if not ends & {"skipped", "cancelled"}:
        return None
    return f"{event.status.capitalize()}: {'; '.join(reasons)}."
