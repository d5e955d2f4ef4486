"""Why a callback can't complete the task that its URL names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

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
    receivers: Mapping[str, Collection[int] | None] = {}
    names: Collection[str] = ()
    if webhook is not None:
        receivers = webhook.receivers
        if webhook.callback is not None:
            names = webhook.callback.tasks
    misfit = _misfit(place, found, receivers)
    if misfit is not None:
        return Result(target, "failed", misfit, final=True)
    state, reason = _what_became_of(place, found, names)
    return Result(target, state, reason, final=True)


def _misfit(
    place: str, found: Addressed, receivers: Mapping[str, Collection[int] | None]
) -> str | None:
    """Why the workflow is none of the receivers; None if it is one."""
    if found.workflow not in receivers:
        return f"{place} is a {found.workflow}, which isn't among the webhook's receivers"
    versions = receivers[found.workflow]
    if versions is None or found.version in versions:
        return None
    return f"{place} has version {found.version}; the webhook's receivers have {listed(versions)}"


def _what_became_of(
    place: str, found: Addressed, names: Collection[str]
) -> tuple[TargetState, str]:
    """What became of the task, as the result's state and reason. `names`: `callback.tasks`."""
    if found.waiting is not None and not found.waiting.is_among(names):
        name = found.waiting.reference_name
        return "failed", f"task {name} isn't among those that `callback.tasks` names"
    if found.waiting is not None:
        return "failed", "its task waits only now: replay the event"
    if found.over:
        return "cancelled", f"the task has ended without this event: {found.over[-1]}"
    if found.ended is not None:
        return "cancelled", f"{place} has ended: {found.ended}"
    return "failed", "its task is still to come: replay the event"


def listed(versions: Iterable[int]) -> str:
    """The versions in order, for people."""
    return ", ".join(map(str, sorted(versions)))
