"""What the SQL stores share: the columns of each record, conversion of rows to records and back,
and index jumps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, TypeVar, get_args

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
from store.sql.columns import (
    Columns,
    Unreadable,
    json_of,
    number,
    object_of,
    optional,
    parsed,
    text,
    word_of,
)
from store.story import attempts_in

_HOLDS: tuple[Hold, ...] = ("no", "held", "recheck", "unless", "aside", "aside", "aside")
"""By number. The number with which an event is set aside tells what it was before: `HELD`, `RECHECK`
or `UNLESS`."""
NO, HELD, RECHECK, UNLESS = map(_HOLDS.index, ("no", "held", "recheck", "unless"))
ASIDE = _HOLDS.index("aside") - HELD
"""Added to the hold when the event is set aside."""
STAGES = (-1, *range(len(_HOLDS)))
"""PostgreSQL's numbers of what an unsettled event is in: -1 before its decision, then its hold's
number."""
MAY_BE_SET_ASIDE = (HELD, RECHECK, UNLESS)
ARE_SET_ASIDE = tuple(number + ASIDE for number in MAY_BE_SET_ASIDE)


def number_of(hold: Hold) -> int:
    """The column's value for this hold."""
    return _HOLDS.index(hold)


def hold_of(number: int) -> Hold | None:
    """The hold; None if the column has a value that no bridge wrote."""
    if 0 <= number < len(_HOLDS):
        return _HOLDS[number]
    return None


_Item = TypeVar("_Item")


def _hold(found: Any) -> Hold:
    hold = hold_of(found) if isinstance(found, int) else None
    if hold is None:
        raise Unreadable(f"its hold in the store can't be read: {found}", "no")
    return hold


def _summary_parts(found: str | None) -> dict[str, str] | None:
    if found is None:
        return None
    try:
        return {str(path): str(value) for path, value in json.loads(found).items()}
    except (AttributeError, ValueError):  # it only serves lists: the event can be read without it
        return {}


_EVENT = Columns(
    seq=number,
    id=text,
    webhook=text,
    received_at=number,
    delivery_id=text,
    payload=text,
    headers=json_of("headers", instead=lambda _: {}),
    query=json_of("query", instead=lambda _: {}),
    status=word_of("status", get_args(EventStatus), instead="failed"),
    hold_until=number,
    decided_at=number,
    held=_hold,
    settled_at=number,
    replay_of=text,
    type=text,
    telling=_summary_parts,
    origin=text,
    # Of one that can't be read the event is unreadable: it must not go to other targets.
    only_target=optional(parsed("the target that it is for", one_target.from_text)),
    acknowledged_at=number,
    resolved_by=text,
    claims=object_of("claims"),
    enclosing=object_of("enclosing"),
    joinable_until=number,
)
EVENT = _EVENT.names
_SIZED = _EVENT.places("payload", "headers", "query", "claims", "enclosing")
LISTED_EVENT = _EVENT.with_instead(
    {
        **dict.fromkeys(("payload", "headers", "query"), "'{}'"),
        **dict.fromkeys(("claims", "enclosing"), "NULL"),
    }
)
"""The same without large columns."""
NEW_EVENT = (
    "id, webhook, received_at, delivery_id, payload, headers, query, hold_until, replay_of, type,"
    " telling, origin, only_target, remote, proof, claims, enclosing"
)
_TASK = Columns(
    id=text,
    workflow_id=text,
    workflow=text,
    reference_name=text,
    matches=json_of("matches", instead=str),
    scheduled_at=number,
    response_timeout=number,
    domain=text,
    found_by=word_of("found_by", get_args(FoundBy), instead="queue"),
    state=word_of("state", get_args(TaskState), instead="gone"),
    broken=text,
    iteration=number,
    seen_at=number,
    shown_at=number,
    adopted_at=number,
    waiting_since=number,
    wait=number,
    shape=number,
    key=number,
)
TASK = _TASK.names
_OF_TASK = attrgetter(*TASK.split(", "))
_NO_CRITERIA = ""
"""It matches nothing."""
_TARGET = Columns(
    id=number,
    event_id=text,
    kind=word_of("kind", get_args(TargetKind), instead="start"),
    workflow=text,
    workflow_id=text,
    task_id=text,
    reference_name=text,
    version=number,
    correlation_id=text,
    state=word_of("state", get_args(TargetState), instead="failed"),
    attempts=number,
    error=text,
    claimed_by=text,
    claimed_at=number,
    due_at=number,
    created_at=number,
    settled_at=number,
    once_key=text,
    once_while=text,
    input=text,
    failing_since=number,
    lane=text,
    otherwise=text,
    iteration=number,
    wait=number,
    came=text,
    failures=attempts_in,
)
TARGET = _TARGET.names
_TARGET_FIELDS = TARGET.split(", ")
NEW_TARGET = (
    "event_id, kind, workflow, workflow_id, task_id, reference_name, version, correlation_id,"
    " state, attempts, claimed_by, claimed_at, due_at, created_at, once_key, once_while, input,"
    " lane, otherwise, iteration, wait, came"
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
TAKING = "('pending', 'claimed', 'done', 'unknown')"
"""The states of a target that has its task, or may have it."""
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
        json.dumps(event.query),
        event.hold_until,
        event.replay_of,
        event.type,
        _json(event.summary_parts),
        event.origin,
        one_target.to_text(event.only),
        event.remote,
        event.proof,
        _json(event.claims),
        _json(event.enclosing),
    )


def _json(value: object) -> str | None:
    if value is None:
        return None
    return json.dumps(value)


def new_target_row(
    event_id: str, new: NewTarget, claimed_by: str | None, now: int
) -> tuple[object, ...]:
    """The values of the columns of `NEW_TARGET`; None leaves it unclaimed.

    A message is never claimed yet: it may not be the first of its lane.
    """
    state = "pending"
    if new.lane is not None:
        state = "queued"
    elif claimed_by is not None:
        state = "claimed"
    claimed_at = None if claimed_by is None else now
    return (
        event_id,
        new.kind,
        new.workflow,
        new.workflow_id,
        new.task_id,
        new.reference_name,
        new.version,
        new.correlation_id,
        state,
        int(state == "claimed"),
        claimed_by,
        claimed_at,
        max(now, new.not_before),
        now,
        new.once_key,
        new.once_while,
        new.input,
        new.lane,
        new.otherwise,
        new.iteration,
        new.wait,
        new.came,
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


def event(row: Sequence[Any]) -> Event:
    """From the columns of `EVENT`. An unreadable event raises when its payload is requested; others
    aren't affected."""
    values, unreadable = _EVENT.read(row)
    values["hold"] = values.pop("held")
    values["summary_parts"] = values.pop("telling")
    values["only"] = values.pop("only_target")
    if values["decided_at"] == ASIDE_UNDECIDED:
        values["decided_at"] = None
    return Event(**values, unreadable=unreadable)


def task(row: Sequence[Any]) -> Task:
    """From the columns of `TASK`. A task that can't be read is broken; others aren't affected."""
    values, unreadable = _TASK.read(row)
    if unreadable is not None:
        values["broken"] = unreadable
        if not isinstance(values["matches"], str):
            values["matches"] = _NO_CRITERIA
    return Task(**values)


def target_for_people(row: Sequence[Any]) -> Target:
    """From the columns of `TARGET`. A value that can't be read must not hide the targets beside
    it."""
    values, unreadable = _TARGET.read(row)
    if unreadable is not None:
        values["error"] = unreadable
    return Target(**values)


def target(row: Sequence[Any]) -> Target:
    """From the columns of `TARGET`, for its call, which fails if a value isn't what it must be."""
    values = dict(zip(_TARGET_FIELDS, row, strict=True))
    values["failures"] = attempts_in(values["failures"])
    return Target(**values)


_DIGITS = 18
"""A target's number has no more."""


def target_ids(set_aside: Iterable[str]) -> list[int]:
    """The targets with these ids of set-aside items, without those that no bridge wrote."""
    return [int(id_) for id_ in set_aside if id_.isdecimal() and len(id_) <= _DIGITS]


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
    return sum(len(row[place] or "") for place in _SIZED)


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
        f"WITH RECURSIVE jumps (value) AS (SELECT {least(after)} UNION ALL SELECT {least('value')}"
        " FROM jumps WHERE value IS NOT NULL) SELECT value FROM jumps WHERE value IS NOT NULL"
    )
