"""Writes what becomes of events, and their new targets: many rows per statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from store.postgres.text import Longs, Texts
from store.records import Target
from store.rules.transitions import EventChange
from store.sql import rows
from store.sql.database import Rows, Statement, Transaction
from store.sql.event_rows import TAKE, Decided, EventRows, tasks_of
from store.sql.rows import number_of

# An event that isn't decided yet is pending, and nobody else locks several of those: so it isn't locked either.
_LOCK_DECIDED = " ORDER BY seq FOR UPDATE"
_CHANGE = f"""
WITH before AS (
    SELECT id, status FROM bridge.events WHERE id = ANY(%s) AND decided_at IS NOT NULL{{lock}}
), changed AS (
    UPDATE bridge.events e SET status = c.status, held = c.held, settled_at = c.settled_at,
        decided_at = coalesce(nullif(e.decided_at, {rows.ASIDE_UNDECIDED}), %s),
        decided_by = CASE WHEN e.decided_at > {rows.ASIDE_UNDECIDED} THEN e.decided_by ELSE %s END,
        scan_at = CASE WHEN e.decided_at > {rows.ASIDE_UNDECIDED} THEN e.scan_at ELSE %s END
    FROM unnest(%b::text[], %b::text[], %b::smallint[], %b::bigint[]) AS c (id, status, held, settled_at)
    LEFT JOIN before ON before.id = c.id WHERE e.id = c.id
    RETURNING coalesce(before.status, 'pending') AS before, e.status AS after
) INSERT INTO bridge.finished_events (status, number)
SELECT status, sum(number) FROM (
    SELECT before, -1 FROM changed UNION ALL SELECT after, 1 FROM changed
) AS counted (status, number) WHERE status != 'pending' GROUP BY status HAVING sum(number) != 0
"""
_LOCK_NAMES = """
SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(name))
FROM (SELECT name FROM unnest(%s::text[]) AS asked (name) ORDER BY hashtext(name)) AS ordered
"""
_NUMBERS = {
    "version": "int",
    "attempts": "int",
    **dict.fromkeys(("claimed_at", "due_at", "created_at", "iteration"), "bigint"),
}
"""The columns of new targets that are numbers; all others are text."""
_NEW_TARGET = rows.NEW_TARGET.split(", ")
_NEW_TARGET_COLUMNS = [Longs if name in _NUMBERS else Texts for name in _NEW_TARGET]
_NEW_TARGET_ARRAYS = ", ".join(f"%b::{_NUMBERS.get(name, 'text')}[]" for name in _NEW_TARGET)
_ADD_TARGETS = (
    f"WITH added AS (INSERT INTO bridge.targets ({rows.NEW_TARGET}, webhook) SELECT {rows.NEW_TARGET},"
    " (SELECT e.webhook FROM bridge.events e WHERE e.id = event_id)"
    f" FROM unnest({_NEW_TARGET_ARRAYS}) WITH ORDINALITY AS new ({rows.NEW_TARGET}, number)"
    f" ORDER BY number RETURNING {rows.TARGET})"
    " SELECT * FROM added WHERE state = 'claimed' OR once_key IS NOT NULL"
)
"""Returns some only: nobody needs the other targets before they are claimed."""

_NOT_DECIDED = Decided()


class PostgresEventRows(EventRows):
    """The rows of events and targets on PostgreSQL."""

    def lock_families(self, transaction: Transaction, origins: Sequence[str]) -> None:
        # No row is locked: an event's own row may be locked by another that waits for this.
        transaction.fetch(_LOCK_NAMES, ("bridge.events", Texts(origins)))

    def lock_lanes(self, transaction: Transaction, lanes: Sequence[str]) -> None:
        # No row is locked: which message is the first of its lane changes meanwhile, and so would the order of locking.
        if lanes:
            transaction.fetch(_LOCK_NAMES, ("bridge.lanes", Texts(lanes)))

    def change(self, transaction: Transaction, changes: Mapping[str, EventChange]) -> None:
        if changes:
            transaction.write(*_changing(changes))

    def decide(
        self,
        transaction: Transaction,
        decided: Mapping[str, EventChange],
        over: Mapping[str, EventChange],
        new_rows: Sequence[tuple[Any, ...]],
        by: Decided,
    ) -> list[Target]:
        statements = [
            _changing(changes, one, _LOCK_DECIDED) for changes, one in ((decided, by), (over, _NOT_DECIDED)) if changes
        ]
        if taken := tasks_of(new_rows):
            statements.append((TAKE, (Texts(taken),)))
        if new_rows:
            statements.append((_ADD_TARGETS, _columns(new_rows)))
        found = transaction.fetch_together(statements)
        return _in_order(found[-1]) if new_rows else []


def _changing(changes: Mapping[str, EventChange], by: Decided = _NOT_DECIDED, lock: str = "") -> Statement:
    """The statement for that. `by` applies to events that weren't decided before."""
    ids = Texts(changes)
    values = (
        ids,
        *by,
        ids,
        Texts(change.status for change in changes.values()),
        Longs(number_of(change.hold) for change in changes.values()),
        Longs(change.settled_at for change in changes.values()),
    )
    return _CHANGE.format(lock=lock), values


def _columns(new_rows: Sequence[tuple[Any, ...]]) -> tuple[Texts | Longs, ...]:
    """The parameters of the statement that inserts new targets."""
    columns = zip(*new_rows, strict=True)
    return tuple(kind(column) for kind, column in zip(_NEW_TARGET_COLUMNS, columns, strict=True))


def _in_order(found: Rows) -> list[Target]:
    return sorted(map(rows.target, found), key=lambda target: target.id)
