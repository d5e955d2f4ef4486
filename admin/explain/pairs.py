"""Compares one event with one task: what is, or was, between them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from admin.explain.results import Comparison, Verdict
from admin.explain.wording import SetAsides, describe_set_aside, describe_target, task_set_aside
from config.webhooks import Webhook
from criteria.descriptions import describe_criterion
from criteria.document import Document
from criteria.evaluator import TooCostly
from criteria.matches import BadMatches, Criteria, Criterion
from store.hiding import Hidden, Veiled
from store.records import Event, Target, TargetState, Task, Workflow, iso
from store.reports import Misfit
from store.rules.transitions import is_started_by, was_running, was_waiting


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
    if event is not None and (item := context.set_aside.get(("event", event.id))) is not None:
        return f"; it is {describe_set_aside(item)}"
    return (
        f"; Conductor can't be reached: {context.conductor_error}"
        if context.conductor_error
        else ""
    )


TOO_COSTLY = "its paths take more steps on this payload than one explanation may take"
_OWN: Mapping[TargetState, Verdict] = {
    "cancelled": "out of reach",
    "unknown": "out of reach",
    "failed": "matches",
}
"""State of the event's own target → verdict on its task, "taken" for the others."""


def compare(event: Event, document: Document, task: Task, context: Context) -> Comparison:
    """What is between this event and this task. `document` is the event's payload with `_webhook`."""
    criteria: tuple[Criterion, ...] = ()
    unusable: tuple[Verdict, str] | None = None
    try:
        criteria = context.veiled(event.webhook, document).criteria(
            Criteria.parse(task.matches).explain(document)
        )
    except BadMatches as error:
        unusable = "broken", f"the task never matches: {error}"
    except TooCostly:
        unusable = "not compared", TOO_COSTLY

    failed = next((criterion for criterion in criteria if not criterion.holds), None)

    def result(verdict: Verdict, reason: str, is_near: bool = False) -> Comparison:
        return Comparison(event, task, verdict, reason, criteria, is_near)

    mine = [target for target in context.targets_on.get(task.id, ()) if target.event_id == event.id]
    if mine:
        return result(_OWN.get(mine[-1].state, "taken"), describe_target(mine[-1]).rstrip("."))
    webhook = context.webhooks.get(event.webhook)
    if webhook is None:
        return result("out of reach", f"the webhook {event.webhook} is no longer defined")
    if task.workflow in context.left:
        return result("out of reach", is_left(task.workflow))
    if task.workflow not in webhook.receivers:
        receivers = ", ".join(webhook.receivers) or "none"
        return result(
            "out of reach",
            f"{task.workflow} is not a receiver of {webhook.name} (receivers: {receivers}); "
            f"to make it one, add `{task.workflow}: any` to `receivers`",
        )
    if event.only is not None and not event.only.is_for(task):
        return result("out of reach", f"{why_only_one(event)}: the {event.only}")
    versions = webhook.receivers[task.workflow]
    workflow = context.workflows.get(task.workflow_id)
    if versions is not None and workflow is not None and workflow.version not in versions:
        wanted = ", ".join(map(str, sorted(versions)))
        return result(
            "out of reach",
            f"its workflow is version {workflow.version}, and {webhook.name} only receives version {wanted}",
            is_near=unusable is None and failed is None,
        )
    if event.is_callback:
        gone = _gone(task, context)
        return result(*(gone or ("matches", "the event's URL names it, whatever its criteria")))
    if unusable is not None:
        return result(*unusable)
    if failed is not None:
        return result("differs", describe_criterion(failed))
    verdict, reason = _all_hold(event, webhook, task, workflow, context)
    return result(verdict, reason, is_near=verdict == "out of reach")


def _all_hold(
    event: Event, webhook: Webhook, task: Task, workflow: Workflow | None, context: Context
) -> tuple[Verdict, str]:
    """Why this event has no target on the task, although every criterion holds."""
    if workflow is not None:
        if is_started_by(event.id, workflow.root_correlation_id):
            return "out of reach", "it belongs to a workflow that this event itself started"
        started_at = context.ours(workflow.root_started_at)
        if not was_running(started_at, event.received_at, context.clock_skew):
            return (
                "out of reach",
                f"its workflow started at {iso(started_at)}, after the event arrived "
                f"({iso(event.received_at)}): an event only completes tasks of workflows that were already running; "
                "replay the event so that it counts as arriving now",
            )
    if (gone := _gone(task, context)) is not None:
        return gone
    if event.decided_at is None:
        return "matches", "the worker hasn't decided the event yet" + because(context, event)
    if (why := task_set_aside(task, context.set_aside)) is not None:
        return "matches", why
    scheduled_at = context.ours(task.scheduled_at)
    after = not was_waiting(scheduled_at, event.received_at)
    waited = f"it started waiting at {iso(scheduled_at)}"
    if event.hold != "no":
        return (
            "matches",
            f"{waited}, and the event is still held: the task takes the oldest held event that matches",
        )
    takers = [
        target for target in context.targets_of.get(event.id, ()) if target.kind == "complete"
    ]
    if takers:
        if after:
            return "out of reach", f"{waited}, after the event, which had already been taken"
        return "out of reach", f"{waited}, but was found only after the event had been decided"
    if after and webhook.hold == 0:
        return "out of reach", f"{waited}, after the event; with `hold: 0s` events are not held"
    if after:
        return (
            "out of reach",
            f"{waited}, and the event was held only until {iso(event.hold_until)}; "
            "set a longer `hold`, or replay the event",
        )
    return (
        "out of reach",
        f"{waited}, but was found, or came into reach, only after the event had been decided; replay the event",
    )


def _gone(task: Task, context: Context) -> tuple[Verdict, str] | None:
    """Why the task can't be completed any more; None if it can."""
    for target in context.targets_on.get(task.id, ()):
        if target.state in ("pending", "claimed", "done"):
            done = "took" if target.state == "done" else "is completing"
            return "out of reach", f"another event {done} it: {target.event_id}"
    if task.state in ("completed", "gone"):
        return (
            "out of reach",
            "it is no longer waiting: it was completed by someone else, cancelled, or timed out",
        )
    return None


def why_only_one(event: Event) -> str:
    """Why an event may have one target only."""
    return (
        "the event's URL is for one task only"
        if event.is_callback
        else "the event is a replay to one target only"
    )


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
