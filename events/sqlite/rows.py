"""Rows to records."""

from __future__ import annotations

import json
from typing import Any

from events.records import Event, Rejection, Target, Task

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
    " error, claimed_by, claimed_at, due_at, created_at, settled_at"
)
REJECTION = "webhook, at, status, reason, remote, method"


def event(row: tuple[Any, ...]) -> Event:
    """From the columns of `EVENT`."""
    values = list(row)
    values[6] = json.loads(values[6])
    values[7] = json.loads(values[7])
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
