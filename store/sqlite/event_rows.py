"""Writes what becomes of events, and their new targets: one row per statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from store.records import Target
from store.rules.transitions import EventChange
from store.sql import rows
from store.sql.database import Transaction
from store.sql.event_rows import TAKE, Decided, EventRows, tasks_of
from store.sql.rows import number_of

_WEBHOOKS = "SELECT id, webhook FROM bridge.events WHERE id = ANY(%s)"
_TARGETS = f"bridge.targets ({rows.NEW_TARGET}, webhook)"
_STATE, _ONCE_KEY = map(rows.NEW_TARGET.split(", ").index, ("state", "once_key"))
_CHANGE = "UPDATE events SET status = ?, held = ?, settled_at = ? WHERE id = ?"
_DECIDE = f"""
UPDATE events SET status = ?, held = ?, settled_at = ?,
    decided_at = coalesce(nullif(decided_at, {rows.ASIDE_UNDECIDED}), ?),
    decided_by = CASE WHEN decided_at > {rows.ASIDE_UNDECIDED} THEN decided_by ELSE ? END,
    scan_at = CASE WHEN decided_at > {rows.ASIDE_UNDECIDED} THEN scan_at ELSE ? END WHERE id = ?
"""


class SqliteEventRows(EventRows):
    """The rows of events and targets on SQLite."""

    def lock_families(self, transaction: Transaction, origins: Sequence[str]) -> None:
        pass  # the transaction has locked the whole database

    def lock_lanes(self, transaction: Transaction, lanes: Sequence[str]) -> None:
        pass  # as above

    def change(self, transaction: Transaction, changes: Mapping[str, EventChange]) -> None:
        for event_id, change in changes.items():
            transaction.write(_CHANGE, (*_values(change), event_id))

    def decide(
        self,
        transaction: Transaction,
        decided: Mapping[str, EventChange],
        over: Mapping[str, EventChange],
        new_rows: Sequence[tuple[Any, ...]],
        by: Decided,
    ) -> list[Target]:
        targets = self._add(transaction, new_rows)
        if taken := tasks_of(new_rows):
            transaction.write(TAKE, (taken,))
        for event_id, change in decided.items():
            transaction.write(_DECIDE, (*_values(change), *by, event_id))
        self.change(transaction, over)
        return targets

    def _add(self, transaction: Transaction, new_rows: Sequence[tuple[Any, ...]]) -> list[Target]:
        """Inserts new targets; returns those that are claimed or have a once key."""
        if not new_rows:
            return []
        webhooks: dict[str, str] = dict(transaction.fetch(_WEBHOOKS, (list({row[0] for row in new_rows}),)))
        found: list[Target] = []
        for is_returned, some in groupby(new_rows, _is_returned):
            returning = f"RETURNING {rows.TARGET}" if is_returned else ""
            found += map(
                rows.target, transaction.insert(_TARGETS, [(*row, webhooks.get(row[0])) for row in some], returning)
            )
        return found


def _is_returned(row: tuple[Any, ...]) -> bool:
    return row[_STATE] == "claimed" or row[_ONCE_KEY] is not None


def _values(change: EventChange) -> tuple[object, ...]:
    return change.status, number_of(change.hold), change.settled_at
