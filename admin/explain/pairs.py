"""Compares one event with one task: what is, or was, between them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from admin.explain.results import Comparison, Verdict
from admin.wording.targets import SetAsides, describe_set_aside, describe_target, task_set_aside
from config.webhooks import Webhook
from criteria.descriptions import describe_criterion
from criteria.document import Document
from criteria.evaluator import TooCostly
from criteria.matches import BadMatches, Criteria, Criterion
from store.hiding import Hidden, Veiled
from store.records import Event, Target, TargetState, Task, Workflow, iso
from store.reports import Misfit
from store.sql.joins import JOINABLE
from worker.decision.verdict import (
    Broken,
    Differs,
    ForAnother,
    InTime,
    LookUp,
    NotAReceiver,
    NotAReceiverThen,
    Offer,
    OtherVersion,
    Receiver,
    StartedByIt,
    StartedLater,
    TooLate,
    Waited,
    verdict,
)


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
    added_at: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(webhook, workflow) → when the workflow became its receiver, or its versions changed."""
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

    def offer(self, event: Event, document: Document) -> Offer:
        """The event as it is offered to tasks. `document`: its payload with `_webhook`."""
        webhook = self.webhooks.get(event.webhook)
        receivers = webhook.receivers.items() if webhook is not None else ()
        return Offer(
            event,
            document,
            {
                name: Receiver(versions, self.added_at.get((event.webhook, name), 0))
                for name, versions in receivers
                if name not in self.left
            },
            self.clock_skew,
        )


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


def compare(offer: Offer, task: Task, context: Context) -> Comparison:
    """What is between the event that is offered and this task."""
    event = offer.event
    criteria: Sequence[Criterion] = ()
    with suppress(BadMatches, TooCostly):  # as the verdict says
        explained = Criteria.parse(task.matches).explain(offer.document)
        criteria = context.veiled(event.webhook, offer.document).criteria(explained)
    found = _taken_by_it(event, task, context) or _between(offer, task, context, criteria)
    return Comparison(event, task, found.verdict, found.reason, tuple(criteria), found.is_near)


class _Found(NamedTuple):
    """A comparison's verdict."""

    verdict: Verdict
    reason: str
    is_near: bool = False


def _near(reason: str) -> _Found:
    """Of a receiver's task of which every criterion holds."""
    return _Found("out of reach", reason, is_near=True)


def _taken_by_it(event: Event, task: Task, context: Context) -> _Found | None:
    """What became of the event's own call for the task; None if it made none."""
    mine = [target for target in context.targets_on.get(task.id, ()) if target.event_id == event.id]
    if not mine:
        return None
    return _Found(_OWN.get(mine[-1].state, "taken"), describe_target(mine[-1]).rstrip("."))


def _between(offer: Offer, task: Task, context: Context, criteria: Sequence[Criterion]) -> _Found:
    """The verdict in words; if it is that the event is for the task, why it hasn't taken it.
    `criteria`: the task's, with what was found."""
    event = offer.event
    try:
        found = verdict(offer, _asked_of(task, event), context.workflows.get(task.workflow_id))
    except TooCostly:
        return _Found("not compared", TOO_COSTLY)
    match found:
        case NotAReceiver() | NotAReceiverThen() | ForAnother() | OtherVersion():
            return _out_of_scope(found, event, task, context)
        case Broken(reason):
            return _Found("broken", f"the task never matches: {reason}")
        case Differs(path):
            return _differs(path, criteria)
        case TooLate() | StartedByIt() | StartedLater():
            return _near(_by_times(found, event, task))
        case Waited() | InTime() | LookUp():
            return _hindrance(event, task, context) or _fits(found, event, task, context)


def _asked_of(task: Task, event: Event) -> Task:
    """The task as the event is compared with it: a callback's URL names it, whatever its criteria."""
    return replace(task, matches={}) if event.is_callback else task


def _out_of_scope(
    found: NotAReceiver | NotAReceiverThen | ForAnother | OtherVersion,
    event: Event,
    task: Task,
    context: Context,
) -> _Found:
    """Why no event of this kind completes the task."""
    match found:
        case NotAReceiver():
            return _Found("out of reach", _no_receiver(event, task, context))
        case NotAReceiverThen(added_at):
            since = f"{event.webhook} has received it, or this version of it, since {iso(added_at)}"
            held = f"the event was held only until {iso(event.hold_until)}; replay the event"
            return _Found("out of reach", f"{since}, and {held}")
        case ForAnother():
            return _Found("out of reach", f"{why_only_one(event)}: the {event.only}")
        case OtherVersion(version):
            wanted = context.webhooks[event.webhook].receivers[task.workflow] or ()
            versions = ", ".join(map(str, sorted(wanted)))
            return _near(
                f"its workflow is version {version}, and {event.webhook} only receives version"
                f" {versions}"
            )


def _no_receiver(event: Event, task: Task, context: Context) -> str:
    webhook = context.webhooks.get(event.webhook)
    if webhook is None:
        return f"the webhook {event.webhook} is no longer defined"
    if task.workflow in context.left:
        return is_left(task.workflow)
    receivers = ", ".join(webhook.receivers) or "none"
    return (
        f"{task.workflow} is not a receiver of {webhook.name} (receivers: {receivers}); "
        f"to make it one, add `{task.workflow}: any` to `receivers`"
    )


def _differs(path: str, criteria: Sequence[Criterion]) -> _Found:
    """`criteria`: none if their paths take too long for people."""
    failed = next((one for one in criteria if one.path == path and not one.holds), None)
    if failed is None:
        return _Found("not compared", TOO_COSTLY)
    return _Found("differs", describe_criterion(failed))


def _by_times(found: TooLate | StartedByIt | StartedLater, event: Event, task: Task) -> str:
    """Why the event can't be for the task, although every criterion holds."""
    match found:
        case StartedByIt():
            return "it belongs to a workflow that this event itself started"
        case StartedLater(at):
            return (
                f"its workflow started at {iso(at)}, after the event arrived"
                f" ({iso(event.received_at)}): an event only completes tasks of workflows that were"
                " already running; replay the event so that it counts as arriving now"
            )
        case TooLate() if event.hold_until <= event.received_at:
            return f"{_waited(task)}, after the event; with `hold: 0s` events are not held"
        case TooLate():
            return (
                f"{_waited(task)}, and the event was held only until {iso(event.hold_until)}; "
                "set a longer `hold`, or replay the event"
            )


def _waited(task: Task) -> str:
    return f"it started waiting at {iso(task.scheduled_at)}"


def _hindrance(event: Event, task: Task, context: Context) -> _Found | None:
    """Why the task hasn't taken an event that is for it, as far as that lies with the task."""
    for target in context.targets_on.get(task.id, ()):
        if target.state in ("pending", "claimed", "done") and target.wait == task.wait:
            done = "took" if target.state == "done" else "is completing"
            return _near(f"another event {done} it: {target.event_id}")
    if task.state in ("completed", "gone"):
        return _near(
            "it is no longer waiting: it was completed by someone else, cancelled, or timed out"
        )
    if event.is_callback:
        return _Found("matches", "the event's URL names it, whatever its criteria")
    if task.broken is not None:
        return _Found("broken", f"the task never matches: {task.broken}")
    if event.decided_at is None:
        undecided = f"the worker hasn't decided the event yet{because(context, event)}"
        return _Found("matches", undecided)
    set_aside = task_set_aside(task, context.set_aside)
    return None if set_aside is None else _Found("matches", set_aside)


def _fits(found: Waited | InTime | LookUp, event: Event, task: Task, context: Context) -> _Found:
    """Why nothing has come of it so far that the event is for the task."""
    if event.joinable_until is None:
        return _near(f"{_waited(task)}, but {_why_closed(event, task, context)}")
    match found:
        case Waited():
            return _Found("matches", f"{_waited(task)}, before the event, and takes it next")
        case InTime() | LookUp() if _has_taker(event, context):
            return _near(f"{_waited(task)}, after the event, which had already been taken")
        case InTime():
            held = "and the event is still held" if event.hold == "held" else "in time"
            return _Found(
                "matches", f"{_waited(task)}, {held}: the task takes the oldest event that matches"
            )
        case LookUp():
            return _Found(
                "matches",
                f"{_waited(task)}, and its workflow is still to be looked up in"
                f" Conductor{because(context)}",
            )


def _has_taker(event: Event, context: Context) -> bool:
    return any(
        target.kind == "complete" and target.state in _TAKE
        for target in context.targets_of.get(event.id, ())
    )


_TAKE: frozenset[TargetState] = frozenset({"pending", "claimed", "done", "unknown"})
"""States of the completions that count as the event's takers."""


def _why_closed(event: Event, task: Task, context: Context) -> str:
    """Why a decided event joins no task any more."""
    webhook = context.webhooks[event.webhook]
    instead = {start.workflow for start in webhook.starts if start.unless is not None}
    for target in context.targets_of.get(event.id, ()):
        if target.kind == "start" and target.workflow in instead:
            return f"the event had started {target.workflow} instead (`unless: taken`)"
    if task.adopted_at > max(event.hold_until, event.decided_at or 0) + JOINABLE:
        return f"was found only at {iso(task.adopted_at)}: too late to be joined; replay the event"
    return "the event joins no more tasks: it has been replayed"


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
