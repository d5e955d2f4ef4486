"""Why a callback can't complete the task that its URL names: found out when its target's call is due."""

from __future__ import annotations

from config.webhooks import Webhook
from store.one_target import NO_SUCH_WORKFLOW, callback_to
from store.records import Event, Result, Target
from worker.conductor.client import Conductor


def refused_callback(conductor: Conductor, target: Target, event: Event, webhook: Webhook | None) -> Result:
    """The result of a completion without a task. Raises ConductorError.

    `webhook`: the event's; None if it is no longer defined. Failed, if somebody should correct something;
    cancelled, if the workflow has gone on without the event; done, if an earlier call for it has completed the task.
    """
    assert target.workflow_id is not None
    assert target.reference_name is not None
    place = f"workflow {target.workflow_id}"
    tasks = conductor.workflow_tasks(target.workflow_id)
    if tasks is None:
        return Result(target, "failed", f"{NO_SUCH_WORKFLOW} {target.workflow_id}", final=True)
    found = tasks.at(event.only or callback_to(target.workflow_id, target.reference_name))
    if event.id in found.workers:
        return Result(target, "done")
    receivers = {} if webhook is None else webhook.receivers
    if found.workflow not in receivers:
        reason = f"{place} is a {found.workflow}, which isn't among the webhook's receivers"
        return Result(target, "failed", reason, final=True)
    versions = receivers[found.workflow]
    if versions is not None and found.version not in versions:
        wanted = ", ".join(map(str, sorted(versions)))
        reason = f"{place} has version {found.version}; the webhook's receivers have {wanted}"
        return Result(target, "failed", reason, final=True)
    names = webhook.callback.tasks if webhook is not None and webhook.callback is not None else ()
    if found.waiting is not None and not found.waiting.is_among(names):
        reason = f"task {found.waiting.reference_name} isn't among those that `callback.tasks` names"
        return Result(target, "failed", reason, final=True)
    if found.waiting is not None:
        return Result(target, "failed", "its task waits only now: replay the event", final=True)
    if found.over:
        return Result(target, "cancelled", f"the task has ended without this event: {found.over[-1]}", final=True)
    if found.ended is not None:
        return Result(target, "cancelled", f"{place} has ended: {found.ended}", final=True)
    return Result(target, "failed", "its task is still to come: replay the event", final=True)
