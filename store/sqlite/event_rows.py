"""Writes what becomes of events, and their new targets: one row per statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from store.records import Target
from store.rules.transitions import EventChange
from store.sql import rows
from store.sql.database import Transaction
from store.sql.event_rows import TAKE, Decided, EventRows, tasks_of
from store.sql.holds import number_of
from store.sqlite.placeholders import marks

_NEW_TARGET = (
    f"INTO targets ({rows.NEW_TARGET}, webhook) VALUES ({marks(rows.NEW_TARGET.split(','))},"
    f" (SELECT webhook FROM events WHERE id = ?)) RETURNING {rows.TARGET}"
)
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

    def add_missing(self, transaction: Transaction, new_rows: Sequence[tuple[Any, ...]]) -> list[Target]:
        return self._add(transaction, "INSERT OR IGNORE", new_rows)

    def decide(
        self,
        transaction: Transaction,
        decided: Mapping[str, EventChange],
        over: Mapping[str, EventChange],
        new_rows: Sequence[tuple[Any, ...]],
        by: Decided,
    ) -> list[Target]:
        targets = self._add(transaction, "INSERT", new_rows)
        if taken := tasks_of(new_rows):
            transaction.write(TAKE, (taken,))
        for event_id, change in decided.items():
            transaction.write(_DECIDE, (*_values(change), *by, event_id))
        self.change(transaction, over)
        return targets

    def _add(self, transaction: Transaction, insert: str, new_rows: Sequence[tuple[Any, ...]]) -> list[Target]:
        found = [transaction.fetch(f"{insert} {_NEW_TARGET}", (*row, row[0])) for row in new_rows]
        return [rows.target(row) for made in found for row in made]


def _values(change: EventChange) -> tuple[object, ...]:
    return change.status, number_of(change.hold), change.settled_at
