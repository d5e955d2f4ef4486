"""Rows to records, and what several statements need of an event's row."""

from __future__ import annotations

import json
from typing import Any, get_args

from sqlite_utils import Database

from events.records import Event, Hold, Rejection, Target, TargetKind, TargetState, Task
from events.transitions import EventChange

EVENT = (
    "seq, id, webhook, received_at, delivery_id, payload, headers, query, status, hold_until, decided_at, held,"
    " settled_at, replay_of"
)
TASK = (
    "id, workflow_id, workflow, reference_name, matches, scheduled_at, response_timeout, domain, found_by, state,"
    " broken"
)
TARGET = (
    "id, event_id, kind, workflow, workflow_id, task_id, reference_name, version, correlation_id, state, attempts,"
    " error, claimed_by, claimed_at, due_at, created_at, settled_at, once_key, once_while"
)
HOLDS: tuple[Hold, ...] = get_args(Hold)
"""The column `held` has a hold's place in this."""
REJECTION = "webhook, at, status, reason, remote, method"


def event(row: tuple[Any, ...]) -> Event:
    """From the columns of `EVENT`."""
    values = list(row)
    values[6] = json.loads(values[6])
    values[7] = json.loads(values[7])
    values[11] = HOLDS[values[11]]
    return Event(*values)


def task(row: tuple[Any, ...]) -> Task:
    """From the columns of `TASK`."""
    values = list(row)
    values[4] = json.loads(values[4])
    return Task(*values)


def target(row: tuple[Any, ...]) -> Target:
    """From the columns of `TARGET`."""
    return Target(*row)


def rejection(row: tuple[Any, ...]) -> Rejection:
    """From the columns of `REJECTION`."""
    return Rejection(*row)


def hold(db: Database, event_id: str) -> Hold | None:
    """The event's hold; None if there is no such event."""
    found = db.execute("SELECT held FROM events WHERE id = ?", (event_id,)).fetchone()
    return HOLDS[found[0]] if found else None


def states(db: Database, event_id: str) -> set[tuple[TargetKind, TargetState]]:
    """Kind and state of the event's targets."""
    return set(db.execute("SELECT DISTINCT kind, state FROM targets WHERE event_id = ?", (event_id,)).fetchall())


def change_event(db: Database, event_id: str, change: EventChange) -> None:
    """Writes down what becomes of the event."""
    db.execute(
        "UPDATE events SET status = ?, held = ?, settled_at = ? WHERE id = ?",
        (change.status, HOLDS.index(change.hold), change.settled_at, event_id),
    )
