"""Explains one task: what its state means, and which events came close to it."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from admin.explain.context import Context, is_left
from admin.explain.pairs import compare
from admin.explain.results import Comparison
from admin.explain.set_aside import NOTHING, SetAsides, task_set_aside
from config.webhooks import Webhook
from store.records import Event, Target, Task


def explain_task(task: Task, events: Iterable[Event], context: Context, limit: int = 20) -> list[Comparison]:
    """The events that came closest to this task, closest first, and the newest first among equals.

    `events` may be a generator: no more than `limit` of them are kept. Those that can't be read are left out.
    """
    comparisons = _compared(task, events, context)
    return heapq.nlargest(limit, comparisons, key=lambda comparison: (comparison.nearness, comparison.event.seq))


def _compared(task: Task, events: Iterable[Event], context: Context) -> Iterator[Comparison]:
    for event in events:
        try:
            document = event.document()
        except ValueError:  # as its own page says
            continue
        yield compare(event, document, task, context)


def describe_task(
    task: Task,
    webhooks: Mapping[str, Webhook],
    targets: Sequence[Target],
    set_aside: SetAsides = NOTHING,
    left: Collection[str] = (),
) -> str:
    """What the task's state means."""
    reached_by = [webhook for webhook in webhooks.values() if task.workflow in webhook.receivers]
    if task.broken and not (reached_by and all(webhook.callback for webhook in reached_by)):
        return f"Broken, so no event completes it: {task.broken}"
    taker = next((target for target in reversed(targets) if target.state in ("pending", "claimed", "done")), None)
    if taker is not None and task.state in ("taken", "completed"):
        verb = "Completed by" if task.state == "completed" else "Being completed by"
        return f"{verb} event {taker.event_id}."
    if task.state in ("completed", "gone"):
        return "It is no longer waiting: it was completed by someone else, cancelled, or timed out."
    if task.workflow in left:
        return f"Waiting, but not for the bridge: {is_left(task.workflow)}."
    if not reached_by:
        return (
            f"Waiting, but no webhook has {task.workflow} as a receiver, so no event can reach it. "
            f"Add `{task.workflow}: any` to the `receivers` of its webhook."
        )
    why = task_set_aside(task, set_aside)
    names = " or ".join(webhook.name for webhook in reached_by)
    return f"Waiting for an event from {names}" + (f"; {why}." if why else ".")
