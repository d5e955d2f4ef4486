"""Why a callback can't complete the task that its URL names."""

from __future__ import annotations

from config.webhooks import Webhook
from store.one_target import callback_to
from store.records import Event, Result, Target, TargetState
from worker.conductor.addressed import Addressed
from worker.conductor.client import Conductor


def refused_callback(
    conductor: Conductor, target: Target, event: Event, webhook: Webhook | None
) -> Result:
    """The result of a completion without a task.

    `webhook`: the event's; None if it is no longer defined. Failed, if somebody should correct
    something; cancelled, if the workflow has gone on without the event; done, if an earlier call
    for it has completed the task. Raises ConductorError.
    """
    assert target.workflow_id is not None
    assert target.reference_name is not None
    place = f"workflow {target.workflow_id}"
    tasks = conductor.workflow_tasks(target.workflow_id)
    if tasks is None:
        return Result(target, "failed", f"Conductor has no {place}", final=True)
    found = tasks.at(event.only or callback_to(target.workflow_id, target.reference_name))
    if event.id in found.workers:
        return Result(target, "done")
    misfit = found.misfit(webhook, place)
    if misfit is not None:
        return Result(target, "failed", misfit, final=True)
    state, reason = _what_became_of(place, found)
    return Result(target, state, reason, final=True)


def _what_became_of(place: str, found: Addressed) -> tuple[TargetState, str]:
    """What became of the task, as the result's state and reason."""
    if found.waiting is not None:
        return "failed", "its task waits only now: replay the event"
    if found.over:
        return "cancelled", f"the task has ended without this event: {found.over[-1]}"
    if found.ended is not None:
        return "cancelled", f"{place} has ended: {found.ended}"
    return "failed", "its task is still to come: replay the event"
