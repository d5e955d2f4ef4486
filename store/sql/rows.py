"""What the SQL stores share: conversion of rows to records, with the same columns in the same
order, and index jumps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, TypeVar, get_args

import structlog

from store import one_target
from store.records import (
    Event,
    EventStatus,
    FoundBy,
    Hold,
    NewEvent,
    NewTarget,
    SetAside,
    SetAsideKind,
    Target,
    TargetKind,
    TargetState,
    Task,
    TaskState,
    Workflow,
)
from store.sql import storable
from store.story import attempts_in

_HOLDS: tuple[Hold, ...] = ("no", "held", "recheck", "aside", "aside")
"""By number. The number with which an event is set aside tells what it was before: `HELD` or
`RECHECK`."""
HELD, RECHECK = map(_HOLDS.index, ("held", "recheck"))
ASIDE = _HOLDS.index("aside") - HELD
"""Added to `HELD` or `RECHECK` when the event is set aside."""
STAGES = (-1, *range(len(_HOLDS)))
"""PostgreSQL's numbers of what an unsettled event is in: -1 before its decision, then its hold's
number."""
MAY_BE_SET_ASIDE = f"({HELD}, {RECHECK})"
ARE_SET_ASIDE = f"({HELD + ASIDE}, {RECHECK + ASIDE})"


def number_of(hold: Hold) -> int:
    """The column's value for this hold."""
    return _HOLDS.index(hold)


def hold_of(number: int) -> Hold | None:
    """The hold; None if the column has a value that no bridge wrote."""
    return _HOLDS[number] if 0 <= number < len(_HOLDS) else None


log = structlog.get_logger()

_Item = TypeVar("_Item")
_PLAIN = {str, int, type(None)}
EVENT = (
    "seq, id, webhook, received_at, delivery_id, payload, headers, query, status, hold_until, decided_at, held,"
    " settled_at, replay_of, type, telling, origin, only_target, acknowledged_at, resolved_by, claims, enclosing"
)
"""The columns of `Event`, in its order. Its `summary_parts` are in the column `telling`."""
_STATUSES: tuple[str, ...] = get_args(EventStatus)
_EVENT_NUMBERS = (0, 3, 9, 10, 11, 12, 18)
LISTED_EVENT = EVENT.replace("payload, headers, query", "'{}', '{}', '{}'").replace(
    "claims, enclosing", "NULL, NULL"
)
"""The same without large columns."""
NEW_EVENT = (
    "id, webhook, received_at, delivery_id, payload, headers, query, hold_until, replay_of, type, telling, origin,"
    " only_target, remote, proof, claims, enclosing"
)
TASK = (
    "id, workflow_id, workflow, reference_name, matches, scheduled_at, response_timeout, domain, found_by, state,"
    " broken, iteration, seen_at"
)
_OF_TASK = attrgetter(*TASK.split(", "))
_TASK_NUMBERS = (5, 6, 11, 12)
_NO_CRITERIA = '""'
"""It matches nothing."""
TARGET = (
    "id, event_id, kind, workflow, workflow_id, task_id, reference_name, version, correlation_id, state, attempts,"
    " error, claimed_by, claimed_at, due_at, created_at, settled_at, once_key, once_while, input,"
    " failing_since, only_versions, lane, otherwise, iteration, failures"
)
_KIND, _STATE, _ERROR = map(TARGET.split(", ").index, ("kind", "state", "error"))
_ONLY_VERSIONS = TARGET.split(", ").index("only_versions")
_TARGET_NUMBERS = (0, 7, 10, 13, 14, 15, 16, 20, 24)
NEW_TARGET = (
    "event_id, kind, workflow, workflow_id, task_id, reference_name, version, correlation_id, state, attempts,"
    " claimed_by, claimed_at, due_at, created_at, once_key, once_while, input, only_versions, lane, otherwise,"
    " iteration"
)
"""Without the webhook, which is taken from the event."""
WORKFLOW = "id, version, root_id, root_started_at, root_correlation_id"
SET_ASIDE = "kind, id, webhook, reason, since, tries, due_at"
REASON_KEPT = 1000
"""Characters kept of the reason why something was set aside."""
FROM_THE_FUTURE = 5_000
"""Milliseconds ahead of the store's clock that no event or target can be, unless the clock was set
back."""
SOON = 30_000
"""Milliseconds until items that would wait too long are due instead: longer than a lost call may
take effect."""
KINDS: tuple[SetAsideKind, ...] = get_args(SetAsideKind)
STEP = 1000
"""Unrelated rows written per transaction."""
STATES = tuple(
    (kind, state)
    for kind in get_args(TargetKind)
    for state in get_args(TargetState)
    if kind == "message" or state != "queued"
)
"""The combinations that a target can have: one index look-up each shows whether an event has such a
target."""
ASIDE_UNDECIDED = 0
"""`decided_at` of an event that was set aside undecided: keeps it out of reads of undecided ones.
"""


def new_event_row(event: NewEvent) -> tuple[object, ...]:
    """The values of the columns of `NEW_EVENT`."""
    return (
        event.id,
        event.webhook,
        event.received_at,
        event.delivery_id,
        event.payload,
        json.dumps(event.headers),
        json.dumps(event.query) if event.query else "{}",
        event.hold_until,
        event.replay_of,
        event.type,
        None if event.summary_parts is None else json.dumps(event.summary_parts),
        event.origin,
        one_target.to_text(event.only),
        event.remote,
        event.proof,
        None if event.claims is None else json.dumps(event.claims),
        None if event.enclosing is None else json.dumps(event.enclosing),
    )


def new_target_row(
    event_id: str, new: NewTarget, claimed_by: str | None, now: int
) -> tuple[object, ...]:
    """The values of the columns of `NEW_TARGET`; None leaves it unclaimed.

    A message is never claimed yet: it may not be the first of its lane.
    """
    claimed = claimed_by is not None
    return (
        event_id,
        new.kind,
        new.workflow,
        new.workflow_id,
        new.task_id,
        new.reference_name,
        new.version,
        new.correlation_id,
        "queued" if new.lane is not None else "claimed" if claimed else "pending",
        int(claimed),
        claimed_by,
        now if claimed else None,
        max(now, new.not_before),
        now,
        new.once_key,
        new.once_while,
        new.input,
        json.dumps(new.only_versions) if new.only_versions is not None else None,
        new.lane,
        new.otherwise,
        new.iteration,
    )


def steps(items: Sequence[_Item], most: int = STEP) -> Iterator[Sequence[_Item]]:
    """The items in parts, each for one transaction."""
    for first in range(0, len(items), most):
        yield items[first : first + most]


def new_task_row(task: Task, now: int) -> tuple[object, ...]:
    """The values of the columns of `TASK`, of a task that waits."""
    waiting = replace(
        task, matches=json.dumps(task.matches), state="waiting", seen_at=task.seen_at or now
    )
    return tuple(_OF_TASK(waiting))


def workflow_row(found: Workflow) -> tuple[object, ...]:
    """The values of the columns of `WORKFLOW`."""
    return (
        found.id,
        storable.number(found.version, storable.LARGEST_INT),
        found.root_id,
        storable.number(found.root_started_at),
        found.root_correlation_id,
    )


def _readable(row: Sequence[Any], numbers: Sequence[int]) -> tuple[list[Any], str | None]:
    """The row's usable values, and why it can't be read, if so; `numbers` are the columns that must
    hold numbers.

    SQLite stores any value in any column, and another program may have written anything.
    """
    values = list(row)
    if _PLAIN.issuperset(map(type, values)) and not any(
        type(values[place]) is str for place in numbers
    ):
        return values, None
    for place, value in enumerate(values):
        if place in numbers:
            values[place] = value if value is None or isinstance(value, int) else 0
        elif type(value) not in _PLAIN:
            values[place] = str(value)
    return values, "its row in the store can't be read: a value is not UTF-8 text, or not a number"


def event(row: Sequence[Any]) -> Event:
    """From the columns of `EVENT`. An unreadable event raises when its payload is requested; others
    aren't affected."""
    values, unreadable = _readable(row, _EVENT_NUMBERS)
    for place, name in ((6, "headers"), (7, "query")):
        try:
            values[place] = json.loads(values[place])
        except (TypeError, ValueError) as error:
            values[place], unreadable = {}, f"its {name} in the store can't be read: {error}"
    if values[8] not in _STATUSES:
        values[8], unreadable = "failed", f"its status in the store can't be read: {values[8]}"
    values[10] = values[10] or None  # set aside undecided
    hold = hold_of(values[11])
    if hold is None:
        hold, unreadable = "no", f"its hold in the store can't be read: {values[11]}"
    values[11] = hold
    values[15] = _summary_parts(values[15])
    if values[17] is not None:
        try:
            values[17] = one_target.from_text(values[17])
        except (TypeError, ValueError) as error:  # it must not go to other targets
            values[17], unreadable = None, f"the target that it is for can't be read: {error}"
    for place, name in ((20, "claims"), (21, "enclosing")):
        if values[place] is not None:
            try:
                values[place] = dict(json.loads(values[place]))
            except (TypeError, ValueError) as error:
                values[place], unreadable = None, f"its {name} in the store can't be read: {error}"
    found = Event(*values)
    return found if unreadable is None else replace(found, unreadable=unreadable)


def _summary_parts(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    try:
        return {str(path): str(value) for path, value in json.loads(text).items()}
    except (
        AttributeError,
        ValueError,
    ):  # it only serves lists, so the event can be read without it
        return {}


def task(row: Sequence[Any]) -> Task:
    """From the columns of `TASK`. A task whose matches can't be read is broken; others aren't
    affected."""
    values, unreadable = _readable(row, _TASK_NUMBERS)
    if unreadable is not None:
        values[4], values[10] = _NO_CRITERIA, unreadable
    try:
        values[4] = json.loads(values[4])
    except (TypeError, ValueError) as error:
        values[4] = str(values[4])  # no criteria: it matches nothing
        values[10] = f"its matches in the store can't be read: {error}"
    for place, words, instead in (
        (8, get_args(FoundBy), "queue"),
        (9, get_args(TaskState), "gone"),
    ):
        if values[place] not in words:
            name = TASK.split(", ")[place]
            values[place], values[10] = (
                instead,
                f"its {name} in the store can't be read: {values[place]}",
            )
    return Task(*values)


def target_for_people(row: Sequence[Any]) -> Target:
    """The same, with text for a value that can't be read: it must not hide the targets beside it."""
    values = _readable(row, _TARGET_NUMBERS)[0]
    for place, words, instead in (
        (_KIND, get_args(TargetKind), "start"),
        (_STATE, get_args(TargetState), "failed"),
    ):
        if values[place] not in words:
            name = TARGET.split(", ")[place]
            values[place], values[_ERROR] = (
                instead,
                f"its {name} in the store can't be read: {values[place]}",
            )
    return target(values)


def readable(row: Sequence[Any], numbers: Sequence[int]) -> list[Any]:
    """The row's values, for people; `numbers` are the columns that must hold numbers, and hold 0 if
    they don't."""
    return _readable(row, numbers)[0]


def readable_ones(
    what: str, found: Iterable[Sequence[Any]], convert: Callable[[Sequence[Any]], _Item]
) -> Iterator[_Item]:
    """The rows that can be converted; `convert` raises TypeError or ValueError for one that can't
    be read."""
    for row in found:
        try:
            yield convert(row)
        except (TypeError, ValueError) as error:
            log.error(
                "a row of the store can't be read, and is left out",
                what=what,
                id=str(row[0]),
                error=str(error),
            )


def target(row: Sequence[Any]) -> Target:
    """From the columns of `TARGET`. A target whose versions can't be read fits none, so its event
    is decided again."""
    values = list(row)
    try:
        versions = values[_ONLY_VERSIONS]
        values[_ONLY_VERSIONS] = tuple(json.loads(versions)) if versions is not None else None
    except (TypeError, ValueError):
        values[_ONLY_VERSIONS] = ()
    values[-1] = attempts_in(values[-1])
    return Target(*values)


def set_aside_rows(items: Sequence[SetAside]) -> list[tuple[object, ...]]:
    """The values of the columns of `SET_ASIDE`, in the order in which all processes lock them."""
    last = {(item.kind, storable.text_without_nul(item.id)): item for item in items}
    return [
        (kind, id_, item.webhook, item.reason[:REASON_KEPT], item.since, item.tries, item.due_at)
        for (kind, id_), item in sorted(last.items())
    ]


def size(row: Sequence[Any]) -> int:
    """Characters of payload, headers, query, claims and what enclosed it in a row of the columns of
    `EVENT`."""
    return len(row[5]) + len(row[6]) + len(row[7]) + len(row[20] or "") + len(row[21] or "")


def jumps(column: str, table: str, where: str, after: str = "", to: str = "") -> str:
    """SQL for the column's distinct values: jumps in its index from one to the next, past all rows
    of each.

    `after` restricts it to greater values, `to` to values not greater; each is a parameter in the
    store's own syntax. Rows are produced one by one, so an appended LIMIT ends the jumps.
    """
    last = f" AND {column} <= {to}" if to else ""

    def least(greater_than: str) -> str:
        # Not min(): expecting few rows, PostgreSQL may read them all by another index.
        greater = f" AND {column} > {greater_than}" if greater_than else ""
        return (
            f"(SELECT {column} FROM {table} WHERE {where}{greater}{last} ORDER BY {column} LIMIT 1)"
        )

    return (
        f"WITH RECURSIVE jumps (value) AS (SELECT {least(after)} UNION ALL SELECT {least('value')} FROM jumps"
        " WHERE value IS NOT NULL) SELECT value FROM jumps WHERE value IS NOT NULL"
    )
