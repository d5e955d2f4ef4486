"""The first thing that is said of an event: one sentence of cause, one of remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from admin.explain.pairs import Context
from admin.explain.results import Comparison, answer, grouped
from admin.wording.targets import describe_target
from config.webhooks import Webhook
from store.records import Event, Target, iso
from store.reports import Misfit
from store.rules.transitions import FAILED
from worker.misfits import no_workflow


class Headline(NamedTuple):
    """Why the event has, or hasn't, had its effect."""

    cause: str
    remedy: str = ""
    """Empty if nothing needs to be done."""


def headline(
    event: Event,
    webhook: Webhook | None,
    comparisons: Sequence[Comparison],
    context: Context,
    status: str,
) -> Headline:
    """The most harmful cause there is. `status` is what the event's status means."""
    targets = context.targets_of.get(event.id, ())
    failed = next((target for target in targets if target.state in FAILED), None)
    if failed is not None:
        return _after_failure(event, failed)
    hindered = _hindered(event, context) if event.status == "pending" else None
    if hindered is not None:
        return hindered
    if any(comparison.verdict == "taken" for comparison in comparisons):
        return Headline(answer(comparisons))
    if targets:
        return Headline(describe_target(targets[0]))
    if webhook is None:
        gone = f"The webhook {event.webhook} is no longer defined."
        return Headline(gone, "Define it again, then replay the event.")
    if event.status == "ignored" or event.is_callback or not webhook.receivers:
        return Headline(status)
    return _without_taker(event, webhook, comparisons, context)


def _after_failure(event: Event, failed: Target) -> Headline:
    cause = describe_target(failed)
    if event.resolved_by is not None or event.acknowledged_at is not None:
        return Headline(cause)
    return Headline(cause, f"Fix the cause, then: webhook-bridge events replay {event.id}")


def _hindered(event: Event, context: Context) -> Headline | None:
    """What keeps every event from being decided or carried out."""
    paused_at = context.paused.get(event.webhook)
    if paused_at is not None and event.decided_at is None:
        cause = f"The webhook has been paused since {iso(paused_at)}, so nothing is decided for it."
        return Headline(cause, f"To go on: webhook-bridge resume {event.webhook}")
    if context.conductor_error is not None:
        cause = (
            f"Conductor can't be reached (since {iso(context.conductor_since)}):"
            f" {context.conductor_error}."
        )
        return Headline(cause, "The event is kept, and carried out once Conductor is back.")
    return None


def _without_taker(
    event: Event, webhook: Webhook, comparisons: Sequence[Comparison], context: Context
) -> Headline:
    """Why no task has taken it."""
    misfit = _misfit(webhook, comparisons, context)
    if misfit is not None:
        return Headline(f"{misfit.what}, which is among the receivers.", _sentence(misfit.remedy))
    reached = [
        comparison for comparison in comparisons if comparison.task.workflow in webhook.receivers
    ]
    nearest = max(reached, key=lambda comparison: comparison.nearness, default=None)
    names = ", ".join(webhook.receivers)
    if nearest is None:
        remedy = "If Conductor shows one in a task domain, name the domain in BRIDGE_TASK_DOMAINS."
        return Headline(f"No task of its receivers ({names}) is known to be waiting.", remedy)
    if nearest.verdict == "out of reach" and nearest.is_near:
        return Headline(f"The task of {nearest.task.workflow} can't take it: {nearest.reason}.")
    if not grouped(reached):
        return Headline(
            f"No task of its receivers ({names}) that was waiting could take it: {nearest.reason}."
        )
    if nearest.verdict == "matches":
        return Headline(answer(reached))
    remedy = "Correct the task's matches, or what is sent; then replay the event."
    return Headline(answer(reached), remedy)


def _misfit(webhook: Webhook, comparisons: Sequence[Comparison], context: Context) -> Misfit | None:
    """A receiver that Conductor lacks."""
    # The worker compares the workflows every few minutes: one that has a task has been registered
    # since.
    unseen = set(webhook.receivers).difference(one.task.workflow for one in comparisons)
    missing = {no_workflow(workflow) for workflow in unseen}
    return next((one for one in context.misfits if one.what in missing), None)


def _sentence(text: str) -> str:
    end = "" if text.endswith("?") else "."
    return f"{text[:1].upper()}{text[1:]}{end}"
