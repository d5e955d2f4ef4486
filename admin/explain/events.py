"""Explains one event: what its status means, what became of its starts, and how close it came to
each task."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from admin.explain.headline import headline
from admin.explain.pairs import Context, because, compare, is_left
from admin.explain.results import EntryExplanation, EventExplanation, input_shown
from admin.wording.statuses import TARGETS_LISTED, EventTargets
from admin.wording.targets import describe_set_aside, describe_target
from config.quantities import format_rate
from config.target_keys import Message, Start
from config.webhooks import Webhook
from criteria.conditions import Conditions
from criteria.descriptions import describe_criterion
from criteria.document import Document
from criteria.evaluator import TooCostly
from criteria.matches import BadMatches, Criterion
from store.hiding import Veiled
from store.one_target import NEVER_CAME, OneTarget
from store.records import Event, Target, TargetState, Task, iso, place_of
from store.rules.keys import NoKey, message_key


def what_prevents(
    entry: Start | Message, veiled: Veiled, context: Context
) -> tuple[str | None, tuple[Criterion, ...]]:
    """Why the entry isn't for this document, None if it is; and what its `when` found, as people
    may see it."""
    if entry.workflow in context.left:
        return is_left(entry.workflow), ()
    try:
        criteria = veiled.criteria(Conditions.parse(entry.when).explain(veiled.document))
    except BadMatches as error:
        return f"`when` can't be parsed: {error}", ()
    except TooCostly:
        return "the paths of its `when` take too long on this payload to be looked at here", ()
    failed = next((criterion for criterion in criteria if not criterion.holds), None)
    return None if failed is None else describe_criterion(failed), criteria


def explain_event(
    event: Event,
    tasks: Iterable[Task],
    context: Context,
    others: Mapping[TargetState, int] = MappingProxyType({}),
    document: Document | None = None,
) -> EventExplanation:
    """Why the event did or didn't reach each of these tasks, what became of its starts, and what
    its status means.

    `others`: state → how many targets the event has besides those in `context`. `document`: the
    event's, if the caller has read it.
    """
    if document is None:
        document = Document(event.document())
    webhook = context.webhooks.get(event.webhook)
    veiled = context.veiled(event.webhook, document)
    entries = tuple(_explain_entries(event, webhook, veiled, context)) if webhook else ()
    offer = context.offer(event, document)
    comparisons = [compare(offer, task, context) for task in tasks]
    comparisons.sort(key=lambda comparison: comparison.task.id)
    comparisons.sort(key=lambda comparison: comparison.nearness, reverse=True)
    status = _status(event, webhook, context.targets_of.get(event.id, ()), context)
    cause, remedy = headline(event, webhook, comparisons, context, status)
    return EventExplanation(
        event,
        cause,
        tuple(_meaning(event, webhook, status, context, others)),
        tuple(one for one in entries if isinstance(one.entry, Start)),
        tuple(comparisons),
        resolved_by=event.resolved_by,
        set_aside=context.set_aside.get(("event", event.id)),
        messages=tuple(one for one in entries if isinstance(one.entry, Message)),
        remedy=remedy,
    )


def _explain_entries(
    event: Event, webhook: Webhook, veiled: Veiled, context: Context
) -> Iterator[EntryExplanation]:
    """What the event made of each entry of `starts` and `messages`, in their order."""
    numbers: Counter[str] = Counter()
    for start in webhook.starts:
        found = _explain_start(event, start, numbers, veiled, context)
        number = numbers[start.workflow]
        yield _if_meant(event, found, OneTarget("start", start.workflow, entry=number))
    given: set[str] = set()
    for message in webhook.messages:
        found = _explain_message(message, given, veiled, context)
        found = _if_meant(event, found, OneTarget("message", message.workflow))
        if found.holds:
            given.add(message.workflow)
        yield found


def _if_meant(event: Event, found: EntryExplanation, place: OneTarget) -> EntryExplanation:
    """The entry's explanation; if the event is a replay to another target, that it isn't meant."""
    if not found.holds or event.only is None or event.only == place:
        return found
    reason = f"the event is a replay to one target only: the {event.only}"
    return replace(found, holds=False, reason=reason)


def _explain_start(
    event: Event, start: Start, numbers: Counter[str], veiled: Veiled, context: Context
) -> EntryExplanation:
    """`numbers`: workflow → how many of its starts were made; this one is counted."""
    prevented, criteria = what_prevents(start, veiled, context)
    if prevented is not None:
        return EntryExplanation(start, False, prevented, criteria)
    numbers[start.workflow] += 1
    made = _input(event, start, numbers[start.workflow], context)
    shown = None if made is None else input_shown(made, veiled.shown, veiled.hide)
    return EntryExplanation(start, True, _why_it_starts(start), criteria, shown)


def _input(event: Event, start: Start, number: int, context: Context) -> Mapping[str, Any] | None:
    """What the entry says of its input; what it said when the event was decided, if it was."""
    made = OneTarget("start", start.workflow, entry=number)
    for target in context.targets_of.get(event.id, ()):
        if target.kind == "start" and place_of(target) == made:
            return None if target.input is None else dict(json.loads(target.input))
    return start.input


def _why_it_starts(start: Start) -> str:
    reason = "`when` holds" if start.when else "it has no `when`: every event starts it"
    if start.unless is not None:
        reason += ", unless a waiting task takes the event"
    if start.once is not None:
        reason += f"; once per value of {start.once.key} (while: {start.once.while_})"
    return reason


def _meaning(
    event: Event,
    webhook: Webhook | None,
    status: str,
    context: Context,
    others: Mapping[TargetState, int],
) -> Iterable[str]:
    yield from _about_itself(event)
    if webhook is None:
        yield (
            f"The webhook {event.webhook} is no longer defined: nothing more will be delivered"
            " for it."
        )
    yield from _about_status(event, status, context)
    if event.resolved_by is None and event.acknowledged_at is None:
        yield from _about_repetitions(context.repeated_at)
    item = context.set_aside.get(("event", event.id))
    if event.decided_at is not None and item is not None:
        yield f"It is {describe_set_aside(item)}."
    yield from _about_targets(context.targets_of.get(event.id, ()), context, others)


def _about_status(event: Event, status: str, context: Context) -> Iterator[str]:
    paused_at = context.paused.get(event.webhook)
    if paused_at is None or event.status != "pending":
        yield status
    elif event.decided_at is not None:  # otherwise the pause is the cause
        yield (
            f"The webhook has been paused since {iso(paused_at)}: nothing is decided for it until "
            f"`webhook-bridge resume {event.webhook}`."
        )
        yield status


def _about_repetitions(repeated_at: Sequence[int]) -> Iterator[str]:
    if repeated_at:
        times = f" {len(repeated_at)} times" if len(repeated_at) > 1 else ""
        yield (
            f"Its sender has delivered it again{times}, last at {iso(repeated_at[-1])}: that does"
            " nothing. Fix the cause, then replay the event."
        )


def _about_itself(event: Event) -> Iterator[str]:
    if event.replay_of and event.only is not None and not event.is_callback:
        yield f"A replay to one target only: the {event.only}."
    if event.acknowledged_at is not None:
        yield (
            f"Acknowledged at {iso(event.acknowledged_at)}: it no longer counts as {event.status}."
        )
    if event.resolved_by is not None:
        yield f"Resolved by replay {event.resolved_by}, which was delivered."
    if event.is_callback:
        yield f"It came by a URL that is for one task: {event.only}."


def _about_targets(
    targets: Sequence[Target], context: Context, others: Mapping[TargetState, int]
) -> Iterator[str]:
    for number, target in enumerate(targets[:TARGETS_LISTED], 1):
        which = f"Target {number}: " if len(targets) > 1 else ""
        yield f"{which}{describe_target(target)}"
        item = context.set_aside.get(("target", str(target.id)))
        if item is not None:
            yield f"This call is {describe_set_aside(item)}."
    beyond = EventTargets(targets, others).beyond(TARGETS_LISTED)
    if beyond:
        rest = ", ".join(f"{number} {state}" for state, number in sorted(beyond.items()))
        yield f"{sum(beyond.values())} more targets: {rest}."


def _status(
    event: Event, webhook: Webhook | None, targets: Sequence[Target], context: Context
) -> str:
    """What its status means."""
    match event.status:
        case "pending":
            return _pending(event, webhook, context)
        case "delivered":
            return "Delivered."
        case "failed":
            if any(target.state == "unknown" for target in targets):
                return "Failed: what became of a call for it can't be found out."
            return "Failed: Conductor refused it permanently."
        case "expired" | "ignored":
            if any(target.kind == "message" for target in targets):
                return (
                    f"{event.status.capitalize()}: no workflow got a message, as its targets say."
                )
            if event.only is not None:
                return single_target_without_effect(event, event.only, targets)
            if event.status == "ignored":
                return _ignored(webhook, context)
            return _expired(event, webhook)


def _pending(event: Event, webhook: Webhook | None, context: Context) -> str:
    if event.decided_at is None:
        return f"The worker hasn't decided it yet{because(context, event)}."
    match event.hold:
        case "held" if event.is_callback:
            return (
                f"Held until {iso(event.hold_until)}: its task doesn't wait yet. The worker looks"
                f" for it in Conductor, more and more rarely{because(context)}."
            )
        case "held" if event.decided_at > event.hold_until:
            return (
                f"Its hold ended at {iso(event.hold_until)}, before it was decided. It expires in a"
                f" moment, unless a task that waited by then takes it{because(context)}."
            )
        case "held":
            return (
                f"Held until {iso(event.hold_until)}: no waiting task matched. The first matching"
                " task to wait takes it, if its workflow was running when the event arrived."
            )
        case "recheck":
            return (
                "All tasks that took it had already ended, so it is free again: the worker will"
                " look for others."
            )
        case "unless":
            return (
                "It starts a workflow unless a task that was waiting takes it: the worker makes"
                f" sure, in 30 seconds at most, that it knows them{because(context)}."
            )
        case "aside":
            return "It was held, and will be again at its next try: no task can take it until then."
        case "no":
            rate = webhook.pace if webhook is not None else None
            pace = "" if rate is None else f", at the webhook's pace of {format_rate(rate)}"
            return f"Its targets are being called{pace}{because(context)}."


def _expired(event: Event, webhook: Webhook | None) -> str:
    if webhook is not None and webhook.hold == 0:
        return (
            "Expired: no matching task was waiting when it arrived, and with `hold: 0s` events are"
            " not held."
        )
    still = ""
    if event.joinable_until is not None:
        still = " A task that did, and is found late, still takes it."
    return (
        f"Expired: it was held until {iso(event.hold_until)}, and no matching task started"
        f" waiting.{still}"
    )


def _ignored(webhook: Webhook | None, context: Context) -> str:
    if webhook is not None and not {*context.left}.isdisjoint(webhook.receivers):
        return (
            "Ignored: the webhook has no receivers besides workflows that are left to Conductor "
            "(BRIDGE_LEAVE_TO_CONDUCTOR), and started no other."
        )
    if webhook is not None and webhook.messages:
        return (
            "Ignored: no entry of `messages` or `starts` applied to it, or it had no key for a"
            " message."
        )
    return "Ignored: the webhook only starts workflows, and none of its `when` conditions held."


_OTHERWISE = {
    "start": "if none runs, it is started",
    "hold": "if none runs, the message is held for one",
    "ignore": "if none runs, the message is ignored",
}


def _explain_message(
    message: Message, given: Collection[str], veiled: Veiled, context: Context
) -> EntryExplanation:
    """`given`: workflows that an earlier entry gives the message."""
    prevented, criteria = what_prevents(message, veiled, context)
    if prevented is not None:
        return EntryExplanation(message, False, prevented, criteria)
    if message.workflow in given:
        return EntryExplanation(
            message, False, f"an earlier entry gives {message.workflow} the message"
        )
    try:
        message_key(message.key, veiled.document)
    except NoKey as error:
        return EntryExplanation(message, False, f"it has no key: {error}")
    except TooCostly:
        return EntryExplanation(
            message, False, "the path of its key takes too long on this payload"
        )
    try:
        key = message_key(message.key, veiled.shown)
    except (NoKey, TooCostly):  # a part of the path is hidden
        key = "hidden"
    to = (
        f"to the running {message.workflow} whose correlation id is the value at {message.key}"
        f" ({key})"
    )
    return EntryExplanation(message, True, f"{to}; {_OTHERWISE[message.else_]}")


def single_target_without_effect(event: Event, only: OneTarget, targets: Sequence[Target]) -> str:
    """Of an event that is expired or ignored: a replay to one target, or a callback."""
    its_only = f"the {only}, the only target it may have,"
    if event.status == "ignored":
        return f"Ignored: {its_only} isn't there for it any more, or never was."
    if all(target.error in NEVER_CAME for target in targets):
        return (
            f"Expired: {its_only} didn't start waiting until {iso(event.hold_until)}. If it waits"
            " now, or still will, replay the event: it is held for it again."
        )
    return (
        f"Expired: {its_only} has ended without it, so a replay alone finds nothing to complete. To"
        " use it after all, have Conductor run the task again (rerun or retry its workflow), then"
        " replay the event."
    )
