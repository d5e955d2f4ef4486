"""Compares one event with one task: what is, or was, between them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from admin.explain.results import Comparison, Verdict
from admin.wording.targets import SetAsides, describe_set_aside, describe_target, task_set_aside
from config.webhooks import Webhook
from criteria.descriptions import describe_criterion
from criteria.document import Document
from criteria.evaluator import TooCostly
from criteria.matches import BadMatches, Criteria
from store.hiding import Hidden, Veiled
from store.records import Event, Target, TargetState, Task, Workflow, iso
from store.reports import Misfit
from store.rules.transitions import came_in_time, is_started_by, was_running, was_waiting


@dataclass(frozen=True)
class Context:
    """Everything else that explains one event and one task."""

    webhooks: Mapping[str, Webhook]
    targets_of: Mapping[str, Sequence[Target]]
    """event id → its targets."""
    targets_on: Mapping[str, Sequence[Target]]
    """task id → all targets that were ever made for it."""
    workflows: Mapping[str, Workflow]
    """workflow id → what was looked up about it."""
    clock_skew: int = 2000
    """Milliseconds that a workflow may have started after an event and still take it."""
    conductor_offset: int = 0
    """Milliseconds by which Conductor's clock is ahead of ours."""
    conductor_error: str | None = None
    """Why Conductor can't be reached, if it can't."""
    conductor_since: int | None = None
    """When that was last reported."""
    misfits: Sequence[Misfit] = ()
    """Which webhooks don't fit the workflows that Conductor has."""
    paused: Mapping[str, int] = field(default_factory=dict)
    """webhook → since when it is paused."""
    hide: Callable[[str], Hidden] = lambda webhook: None
    """What must not be shown of a webhook's events."""

    repeated_at: Sequence[int] = ()
    """When the sender delivered that event again, as far as that is kept."""
    left: Collection[str] = ()
    """Workflows that are left to webhooks of Conductor's own."""
    set_aside: SetAsides = field(default_factory=dict)
    _last: list[Veiled] = field(default_factory=list, repr=False)
    """The last event's: one is compared with many tasks."""

    def veiled(self, webhook: str, document: Document) -> Veiled:
        """The document of an event of this webhook as people may see it."""
        if not self._last or self._last[0].document is not document:
            self._last[:] = [Veiled(document, self.hide(webhook))]
        return self._last[0]

    def ours(self, server: int) -> int:
        """Conductor's time in terms of our clock, as the worker compares it."""
        return server - self.conductor_offset


def is_left(workflow: str) -> str:
    """Why the bridge does nothing for a workflow that is left to Conductor."""
    return f"{workflow} is left to webhooks of Conductor's own: BRIDGE_LEAVE_TO_CONDUCTOR names it"


def because(context: Context, event: Event | None = None) -> str:
    """Why nothing happens to the event, or to any: to be added to a sentence."""
    item = context.set_aside.get(("event", event.id)) if event is not None else None
    if item is not None:
        return f"; it is {describe_set_aside(item)}"
    if context.conductor_error:
        return f"; Conductor can't be reached: {context.conductor_error}"
    return ""


TOO_COSTLY = "its paths take more steps on this payload than one explanation may take"
_OWN: Mapping[TargetState, Verdict] = {
    "cancelled": "out of reach",
    "unknown": "out of reach",
    "failed": "matches",
}
"""State of the event's own target → verdict on its task, "taken" for the others."""


def compare(event: Event, document: Document, task: Task, context: Context) -> Comparison:
    """What is between this event and this task. `document` is the event's payload with `_webhook`."""
    try:
        explained = Criteria.parse(task.matches).explain(document)
        criteria = context.veiled(event.webhook, document).criteria(explained)
        failed = next((one for one in criteria if not one.holds), None)
        unmet = None if failed is None else _Found("differs", describe_criterion(failed))
    except BadMatches as error:
        criteria, unmet = (), _Found("broken", f"the task never matches: {error}")
    except TooCostly:
        criteria, unmet = (), _Found("not compared", TOO_COSTLY)
    found = _between(event, task, context, unmet)
    return Comparison(event, task, found.verdict, found.reason, criteria, found.is_near)


class _Found(NamedTuple):
    """A comparison's verdict."""

    verdict: Verdict
    reason: str
    is_near: bool = False


def _between(event: Event, task: Task, context: Context, unmet: _Found | None) -> _Found:
    """`unmet`: what of the task's criteria doesn't hold; None if all of them do."""
    mine = [target for target in context.targets_on.get(task.id, ()) if target.event_id == event.id]
    if mine:
        return _Found(_OWN.get(mine[-1].state, "taken"), describe_target(mine[-1]).rstrip("."))
    webhook = context.webhooks.get(event.webhook)
    if webhook is None:
        return _Found("out of reach", f"the webhook {event.webhook} is no longer defined")
    workflow = context.workflows.get(task.workflow_id)
    excluded = _excluded(event, webhook, task, context)
    if excluded is not None:
        return _Found("out of reach", excluded)
    other_version = _other_version(webhook, task, workflow)
    if other_version is not None:
        return _Found("out of reach", other_version, is_near=unmet is None)
    if event.is_callback:
        gone = _gone(task, context)
        return gone or _Found("matches", "the event's URL names it, whatever its criteria")
    return unmet or _all_hold(event, webhook, task, workflow, context)


def _excluded(event: Event, webhook: Webhook, task: Task, context: Context) -> str | None:
    """Why no event of this kind completes the task; None if it may."""
    if task.workflow in context.left:
        return is_left(task.workflow)
    if task.workflow not in webhook.receivers:
        receivers = ", ".join(webhook.receivers) or "none"
        return (
            f"{task.workflow} is not a receiver of {webhook.name} (receivers: {receivers}); "
            f"to make it one, add `{task.workflow}: any` to `receivers`"
        )
    if event.only is not None and not event.only.is_for(task):
        return f"{why_only_one(event)}: the {event.only}"
    return None


def _other_version(webhook: Webhook, task: Task, workflow: Workflow | None) -> str | None:
    versions = webhook.receivers[task.workflow]
    if versions is None or workflow is None or workflow.version in versions:
        return None
    wanted = ", ".join(map(str, sorted(versions)))
    return (
        f"its workflow is version {workflow.version}, and {webhook.name} only receives version"
        f" {wanted}"
    )


def _all_hold(
    event: Event, webhook: Webhook, task: Task, workflow: Workflow | None, context: Context
) -> _Found:
    """Why this event has no target on the task, although every criterion holds."""
    too_new = _too_new(event, workflow, context)
    if too_new is not None:
        return _out_of_reach(too_new)
    gone = _gone(task, context)
    if gone is not None:
        return _out_of_reach(gone.reason)
    if event.decided_at is None:
        undecided = f"the worker hasn't decided the event yet{because(context, event)}"
        return _Found("matches", undecided)
    set_aside = task_set_aside(task, context.set_aside)
    if set_aside is not None:
        return _Found("matches", set_aside)
    scheduled_at = context.ours(task.scheduled_at)
    waited = f"it started waiting at {iso(scheduled_at)}"
    if event.hold != "no" and came_in_time(scheduled_at, event.hold_until):
        held = "and the event is still held: the task takes the oldest held event that matches"
        return _Found("matches", f"{waited}, {held}")
    is_later = not was_waiting(scheduled_at, event.received_at)
    return _out_of_reach(f"{waited}, {_why_too_late(event, webhook, is_later, context)}")


def _out_of_reach(reason: str) -> _Found:
    """Of a receiver's task of which every criterion holds."""
    return _Found("out of reach", reason, is_near=True)


def _too_new(event: Event, workflow: Workflow | None, context: Context) -> str | None:
    """Why the workflow is too new for the event; None if it isn't, as far as is known."""
    if workflow is None:
        return None
    if is_started_by(event.id, workflow.root_correlation_id):
        return "it belongs to a workflow that this event itself started"
    started_at = context.ours(workflow.root_started_at)
    if was_running(started_at, event.received_at, context.clock_skew):
        return None
    return (
        f"its workflow started at {iso(started_at)}, after the event arrived"
        f" ({iso(event.received_at)}): an event only completes tasks of workflows that were already"
        " running; replay the event so that it counts as arriving now"
    )


def _why_too_late(event: Event, webhook: Webhook, is_later: bool, context: Context) -> str:
    """Why a decided event has passed the task by. `is_later`: the task came after the event."""
    targets = context.targets_of.get(event.id, ())
    is_taken = any(target.kind == "complete" for target in targets)
    if is_taken and is_later:
        return "after the event, which had already been taken"
    if is_taken:
        return "but was found only after the event had been decided"
    if is_later and webhook.hold == 0:
        return "after the event; with `hold: 0s` events are not held"
    if is_later:
        return (
            f"and the event was held only until {iso(event.hold_until)}; "
            "set a longer `hold`, or replay the event"
        )
    return (
        "but was found, or came into reach, only after the event had been decided; replay the event"
    )


def _gone(task: Task, context: Context) -> _Found | None:
    """Why the task can't be completed any more; None if it can."""
    for target in context.targets_on.get(task.id, ()):
        if target.state in ("pending", "claimed", "done"):
            done = "took" if target.state == "done" else "is completing"
            return _Found("out of reach", f"another event {done} it: {target.event_id}")
    if task.state in ("completed", "gone"):
        ended = "it was completed by someone else, cancelled, or timed out"
        return _Found("out of reach", f"it is no longer waiting: {ended}")
    return None


def why_only_one(event: Event) -> str:
    """Why an event may have one target only."""
    if event.is_callback:
        return "the event's URL is for one task only"
    return "the event is a replay to one target only"


def share_that_holds(matches: object, document: Document) -> float:
    """Which share of the criteria holds for a payload with `_webhook`; -1 if they can't be parsed,
    or cost too much."""
    try:
        criteria = Criteria.parse(matches)
        found = [
            document.keys(path, select)
            for path, select in zip(criteria.paths, criteria.selects, strict=True)
        ]
    except (BadMatches, TooCostly):
        return -1.0
    held = [key is not None and key in keys for keys, key in zip(found, criteria.keys, strict=True)]
    return sum(held) / len(held) if held else 1.0
