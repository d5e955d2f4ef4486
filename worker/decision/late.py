"""Which joins come late, and why: for an event's history, and for a metric. Pure."""

from __future__ import annotations

from typing import Literal

from store.records import Event, Task

LateCause = Literal["queue", "index", "other"]
"""`queue`, `index`: the task was found late, there. `other`: it was known, but couldn't be joined."""
GRACE = 30_000
"""Milliseconds that a join takes at most while Conductor answers: a task looks for an event no
later than that."""


def why_late(event: Event, task: Task, joined_at: int) -> LateCause | None:
    """Why the event took the task more than `GRACE` after it had been taken up and the task waited;
    None if it didn't. `joined_at`: Unix milliseconds by the store's clock."""
    if event.decided_at is None:
        return None
    due_at = max(event.decided_at, task.scheduled_at) + GRACE
    if joined_at <= due_at:
        return None
    return task.found_by if task.adopted_at > due_at else "other"
