"""One task: what its state means, and which events came near it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from admin.explain.pairs import compare
from admin.explain.results import Comparison
from admin.explain.set_aside import NOTHING, SetAsides, task_set_aside
from admin.explain.surroundings import Surroundings
from config.webhooks import Webhook
from store.records import Event, Target, Task


def explain_task(task: Task, events: Iterable[Event], around: Surroundings, limit: int = 20) -> list[Comparison]:
    """The events that came nearest to this task, nearest first, the newest first among equals.

    Of the events, which are read as they are needed, only so many are kept.
    """
    findings = (compare(event, event.document(), task, around) for event in events)
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
