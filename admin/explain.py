"""Why an event did or didn't match, from the event's side and from the task's. Pure: records in, findings out.

It speaks of the webhook as it is defined now. What it says of a task follows the delivery rules in their order: is
the task in reach of the webhook, do its criteria hold, was it waiting at the right time, and who took it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from admin.quarantine import NOTHING, SetAsides, in_words, task_set_aside
from config.rates import format_rate
from config.webhooks import Start, Webhook
from criteria.conditions import Conditions
from criteria.descriptions import criterion_in_words
from criteria.matches import BadMatches, Criteria, Criterion
from store.hiding import Hidden, hidden, shown_of
from store.records import Event, SetAside, Target, Task, Workflow, iso

Verdict = Literal["taken", "matches", "differs", "out of reach", "broken"]
"""`taken`: by this event; `matches`: every criterion holds, and the reason says what else stood or stands between."""


@dataclass(frozen=True)
class TaskFinding:
    """What is between one event and one task."""

    event: Event
    task: Task
    verdict: Verdict
    reason: str
    criteria: tuple[Criterion, ...] = ()

    @property
    def first_failed(self) -> Criterion | None:
        """The first criterion that doesn't hold."""
        return next((criterion for criterion in self.criteria if not criterion.holds), None)

    @property
    def nearness(self) -> tuple[int, float]:
        """Sorts findings: the nearer to a delivery, the greater."""
        order = {"taken": 4, "matches": 3, "differs": 2, "broken": 1, "out of reach": 0}[self.verdict]
        held = sum(criterion.holds for criterion in self.criteria)
        return order, held / len(self.criteria) if self.criteria else 1.0


@dataclass(frozen=True)
class StartFinding:
    """What one entry of `starts` makes of an event."""

    start: Start
    holds: bool
    reason: str
    criteria: tuple[Criterion, ...] = ()


@dataclass(frozen=True)
class EventFinding:
    """An event explained."""

    event: Event
    meaning: tuple[str, ...]
    """What its status means, in sentences."""
    starts: tuple[StartFinding, ...]
    tasks: tuple[TaskFinding, ...]
    """Nearest first."""
    set_aside: SetAside | None = None
    """Why the event is set aside, if it is."""


@dataclass(frozen=True)
class WholeTask:
    """A task explained."""

    meaning: str
    targets: Sequence[Target]
    near: Sequence[TaskFinding]
    """The events that came nearest to it, nearest first."""
    set_aside: SetAside | None
    """Why it, or its workflow, is set aside."""


@dataclass(frozen=True)
class Surroundings:
    """What else is known, beside one event and one task."""

    webhooks: Mapping[str, Webhook]
    targets_of: Mapping[str, Sequence[Target]]
    """event id → its targets."""
    targets_on: Mapping[str, Sequence[Target]]
    """task id → the targets that ever aimed at it."""
    workflows: Mapping[str, Workflow]
    """workflow id → what was looked up of it."""
    now: int
    clock_skew: int = 2000
    """Milliseconds that a workflow may have started after an event and still take it."""
    conductor_offset: int = 0
    """Milliseconds that Conductor's clock is ahead of ours."""
    conductor_error: str | None = None
    """Why Conductor can't be reached, if it can't."""
    paused: Mapping[str, int] = field(default_factory=dict)
    """webhook → since when it is paused."""
    hide: Callable[[str], Hidden] = lambda webhook: None
    """What nobody is shown of a webhook's events."""

    set_aside: SetAsides = field(default_factory=dict)
    _last_shown: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=list, repr=False)
    """The document that was looked at last, and what people may see of it: beside many tasks it is the same one."""

    def hidden(self, webhook: str, criteria: Iterable[Criterion], document: Mapping[str, Any]) -> tuple[Criterion, ...]:
        """The criteria as people may see them, of an event of this webhook."""
        hide = self.hide(webhook)
        if not self._last_shown or self._last_shown[0][0] is not document:
            self._last_shown[:] = [(document, shown_of(document, hide))]
        return hidden(criteria, document, hide, self._last_shown[0][1])

    def ours(self, server: int) -> int:
        """A time of Conductor's by our clock, as the worker compares it."""
        return server - self.conductor_offset


# --- one event beside one task ------------------------------------------------------------------------------


def explain_pair(event: Event, document: Mapping[str, Any], task: Task, around: Surroundings) -> TaskFinding:
    """What is between this event and this task; `document` is the event's payload with `_webhook`."""
    criteria: tuple[Criterion, ...] = ()
    broken: str | None = None
    try:
        criteria = around.hidden(event.webhook, Criteria.parse(task.matches).explain(document), document)
    except BadMatches as error:
        broken = f"the task's matches can't be parsed, so it never matches: {error}"

    def finding(verdict: Verdict, reason: str) -> TaskFinding:
        return TaskFinding(event, task, verdict, reason, criteria)

    mine = [target for target in around.targets_on.get(task.id, ()) if target.event_id == event.id]
    if mine:
        return finding(*_own_target(mine[-1]))
    webhook = around.webhooks.get(event.webhook)
    if webhook is None:
        return finding("out of reach", f"the webhook {event.webhook} is no longer defined")
    if task.workflow not in webhook.receivers:
        receivers = ", ".join(webhook.receivers) or "none"
        return finding(
            "out of reach",
            f"{task.workflow} is not a receiver of {webhook.name} (receivers: {receivers}); "
            f"to let it be one, add `{task.workflow}: any` to `receivers`",
        )
    versions = webhook.receivers[task.workflow]
    workflow = around.workflows.get(task.workflow_id)
    if versions is not None and workflow is not None and workflow.version not in versions:
        wanted = ", ".join(map(str, sorted(versions)))
        return finding(
            "out of reach",
            f"its workflow has version {workflow.version}, and {webhook.name} receives only version {wanted}",
        )
    if broken is not None:
        return finding("broken", broken)
    failed = next((criterion for criterion in criteria if not criterion.holds), None)
    if failed is not None:
        return finding("differs", criterion_in_words(failed))
    return finding(*_all_hold(event, webhook, task, workflow, around))


def _own_target(target: Target) -> tuple[Verdict, str]:
    when = iso(target.settled_at)
    match target.state:
        case "done":
            return "taken", f"this event completed it at {when}"
        case "pending" | "claimed":
            last = f"; the last try failed: {_error(target)}{_again(target)}" if target.error else ""
            doubt = ""
            if target.only_versions is not None:
                versions = " or ".join(map(str, sorted(target.only_versions)))
                doubt = f" if its workflow has version {versions}, which Conductor is to show first"
            return "taken", f"this event is completing it{doubt} (tries so far: {target.attempts}){last}"
        case "cancelled":
            return (
                "out of reach",
                f"it had ended when this event was to complete it, at {when}: "
                f"{target.error or 'cancelled, timed out or completed by others'}",
            )
        case _:
            return "matches", f"Conductor refused for good when this event was to complete it: {target.error}"


def _all_hold(
    event: Event, webhook: Webhook, task: Task, workflow: Workflow | None, around: Surroundings
) -> tuple[Verdict, str]:
    """Every criterion holds, and still this event has no target on the task: why."""
    if workflow is not None:
        own = {target.correlation_id for target in around.targets_of.get(event.id, ()) if target.correlation_id}
        if workflow.root_correlation_id is not None and workflow.root_correlation_id in own:
            return "out of reach", "it belongs to a workflow that this event itself started"
        started_at = around.ours(workflow.root_started_at)
        if started_at > event.received_at + around.clock_skew:
            return (
                "out of reach",
                f"its workflow started at {iso(started_at)}, after the event arrived "
                f"({iso(event.received_at)}): an event completes only what was running when it came; "
                "replay the event to let it count as one that arrives now",
            )
    for target in around.targets_on.get(task.id, ()):
        if target.state in ("pending", "claimed", "done"):
            done = "took" if target.state == "done" else "is completing"
            return "out of reach", f"another event {done} it: {target.event_id}"
    if task.state in ("completed", "gone"):
        return "out of reach", "it no longer waits: it was completed by others, cancelled or timed out"
    if event.decided_at is None:
        return "matches", "the event's takers are still to be decided" + _because(around, event)
    if (why := task_set_aside(task, around.set_aside)) is not None:
        return "matches", why
    scheduled_at = around.ours(task.scheduled_at)
    after = scheduled_at > event.received_at
    waited = f"it came to wait at {iso(scheduled_at)}"
    if event.hold != "no":
        return (
            "matches",
            f"{waited}, and the event is still held: it takes the oldest held event that matches",
        )
    takers = [target for target in around.targets_of.get(event.id, ()) if target.kind == "complete"]
    if takers:
        if after:
            return "out of reach", f"{waited}, after the event, which had a taker already"
        return "out of reach", f"{waited}, but was found only after the event's takers were decided"
    if after and webhook.hold == 0:
        return "out of reach", f"{waited}, after the event; `hold: 0s` keeps no event for later"
    if after:
        return (
            "out of reach",
            f"{waited}, and the event was held only until {iso(event.hold_until)}; "
            "set a longer `hold`, or replay the event",
        )
    return (
        "out of reach",
        f"{waited}, but was found, or came into reach, only after the event's takers were decided; replay the event",
    )


def _because(around: Surroundings, event: Event | None = None) -> str:
    if event is not None and (item := around.set_aside.get(("event", event.id))) is not None:
        return f"; it is {in_words(item)}"
    return f"; Conductor can't be reached: {around.conductor_error}" if around.conductor_error else ""


# --- an event -----------------------------------------------------------------------------------------------


def explain_event(event: Event, tasks: Iterable[Task], around: Surroundings) -> EventFinding:
    """Why this event did or didn't reach each of these tasks, what became of its starts, what its status means."""
    document = event.document()
    webhook = around.webhooks.get(event.webhook)
    findings = [explain_pair(event, document, task, around) for task in tasks]
    findings.sort(key=lambda finding: finding.task.id)
    findings.sort(key=lambda finding: finding.nearness, reverse=True)
    hide = around.hide(event.webhook)
    starts = tuple(_explain_start(start, document, hide) for start in webhook.starts) if webhook else ()
    meaning = tuple(_meaning(event, webhook, findings, around))
    return EventFinding(event, meaning, starts, tuple(findings), around.set_aside.get(("event", event.id)))


def _explain_start(start: Start, document: Mapping[str, Any], hide: Hidden) -> StartFinding:
    try:
        criteria = hidden(Conditions.parse(start.when).explain(document), document, hide)
    except BadMatches as error:
        return StartFinding(start, False, f"`when` can't be parsed: {error}")
    failed = next((criterion for criterion in criteria if not criterion.holds), None)
    if failed is not None:
        return StartFinding(start, False, criterion_in_words(failed), criteria)
    reason = "`when` holds" if criteria else "it has no `when`: every event starts it"
    if start.unless is not None:
        reason += ", unless a waiting task takes the event"
    if start.once is not None:
        reason += f"; once for a value of {start.once.key} ({start.once.while_})"
    return StartFinding(start, True, reason, criteria)


def _meaning(
    event: Event, webhook: Webhook | None, findings: Sequence[TaskFinding], around: Surroundings
) -> Iterable[str]:
    targets = around.targets_of.get(event.id, ())
    if event.replay_of:
        yield f"A replay of {event.replay_of}."
    if webhook is None:
        yield f"The webhook {event.webhook} is no longer defined: nothing more will be delivered for it."
    paused_at = around.paused.get(event.webhook)
    if paused_at is not None and event.status == "pending":
        yield (
            f"The webhook is paused since {iso(paused_at)}: nothing is decided for it before "
            f"`webhook-bridge resume {event.webhook}`."
        )
    match event.status:
        case "pending" if event.decided_at is None and paused_at is not None:
            pass
        case "pending" if event.decided_at is None:
            yield "Its takers are still to be decided by the worker" + _because(around, event) + "."
        case "pending" if event.hold == "held":
            yield (
                f"Held until {iso(event.hold_until)}: no waiting task matched. "
                "The first task that comes to wait and matches takes it."
            )
        case "pending" if event.hold == "recheck":
            yield "All its takers had ended, so it is free again: the worker is to look for others."
        case "pending" if event.hold == "aside":
            yield "It was held, and is held again at its next try: no task takes it before."
        case "pending" if webhook is not None and webhook.pace is not None:
            yield f"Its targets are called in their turn: the webhook's pace is {format_rate(webhook.pace)}" + (
                _because(around) + "."
            )
        case "pending":
            yield "Its targets are being called" + _because(around) + "."
        case "delivered":
            yield "Delivered."
        case "expired" if webhook is not None and webhook.hold == 0:
            yield "Expired: no task that matches was waiting when it arrived, and `hold: 0s` keeps none for later."
        case "expired":
            yield f"Expired: it was held until {iso(event.hold_until)}, and no task that matches came to wait."
        case "ignored":
            yield "Ignored: the webhook only starts workflows, and no `when` of them held."
        case "failed":
            yield "Failed: Conductor refuses for good. Mend what it says, then replay the event."
    if event.decided_at is not None and (item := around.set_aside.get(("event", event.id))) is not None:
        yield f"It is {in_words(item)}."
    for target in targets:
        yield target_in_words(target)
        if (item := around.set_aside.get(("target", str(target.id)))) is not None:
            yield f"This call is {in_words(item)}."
    if event.status in ("pending", "expired") and not targets and webhook is not None and webhook.receivers:
        reached = [finding for finding in findings if finding.task.workflow in webhook.receivers]
        if not reached:
            yield f"No task of its receivers ({', '.join(webhook.receivers)}) is known to wait."


def target_in_words(target: Target) -> str:
    """What became of a target, and the remedy where it was refused."""
    if target.kind == "complete":
        what = f"task {target.reference_name} of {target.workflow} ({target.workflow_id})"
        done, doing = "Completed", "Completing"
    else:
        what = target.workflow + (f" version {target.version}" if target.version else "")
        what += f" ({target.workflow_id})" if target.workflow_id else ""
        done, doing = "Started", "Starting"
    match target.state:
        case "done":
            return f"{done} {what} at {iso(target.settled_at)}."
        case "skipped":
            return f"Not started: {target.workflow} is there for the same `once.key` ({target.workflow_id})."
        case "pending" | "claimed":
            tries = f", tries so far: {target.attempts}" if target.attempts else ""
            return f"{doing} {what}{tries}" + (
                f"; the last one failed: {_error(target)}{_again(target)}." if target.error else "."
            )
        case "cancelled":
            return f"{what} had ended already: {target.error or 'cancelled, timed out or completed by others'}."
        case _:
            remedy = ""
            if "No such workflow" in (target.error or ""):
                remedy = " Register the workflow in Conductor, or correct `starts`; then replay."
            return f"{doing} {what} failed for good: {(target.error or '').rstrip('.')}.{remedy}"


def _again(target: Target) -> str:
    return f"; the next one is at {iso(target.due_at)}" if target.state == "pending" else ""


def _error(target: Target) -> str:
    return (target.error or "for an unknown reason").rstrip(".")


# --- a task -------------------------------------------------------------------------------------------------


def explain_task(task: Task, events: Iterable[Event], around: Surroundings, limit: int = 20) -> list[TaskFinding]:
    """The events that came nearest to this task, nearest first, the newest first among equals.

    Of the events, which are read as they are needed, only so many are kept.
    """
    findings = (explain_pair(event, event.document(), task, around) for event in events)
    return heapq.nlargest(limit, findings, key=lambda finding: (finding.nearness, finding.event.seq))


def task_in_words(
    task: Task, webhooks: Mapping[str, Webhook], targets: Sequence[Target], set_aside: SetAsides = NOTHING
) -> str:
    """What the task's state means."""
    if task.broken:
        return f"Broken: its matches can't be parsed, so no event completes it: {task.broken}"
    taker = next((target for target in reversed(targets) if target.state in ("pending", "claimed", "done")), None)
    if taker is not None and task.state in ("taken", "completed"):
        verb = "Completed by" if task.state == "completed" else "Being completed by"
        return f"{verb} event {taker.event_id}."
    if task.state in ("completed", "gone"):
        return "It no longer waits: it was completed by others, cancelled or timed out."
    names = [webhook.name for webhook in webhooks.values() if task.workflow in webhook.receivers]
    if not names:
        return (
            f"Waiting, but {task.workflow} is a receiver of no webhook: no event can reach it. "
            f"Add `{task.workflow}: any` to the `receivers` of its webhook."
        )
    why = task_set_aside(task, set_aside)
    return f"Waiting for an event of {' or '.join(names)}" + (f"; {why}." if why else ".")
