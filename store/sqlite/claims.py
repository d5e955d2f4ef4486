"""Finds due targets, with webhooks taking turns, and writes decisions, results and what becomes of
events: one row per statement.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from store.records import Result, Target
from store.rules import fairness, transitions
from store.rules.transitions import EventChange
from store.sql import rows
from store.sql.claims import CLAIM, Claims
from store.sql.database import Rows, Transaction
from store.sql.event_rows import JOINABLE_FROM, TAKE, Decided, EventRows, tasks_of
from store.sql.rows import number_of
from store.story import attempts_text

_WEBHOOKS = "SELECT id, webhook FROM bridge.events WHERE id = ANY(%s)"
_TARGETS = f"bridge.targets ({rows.NEW_TARGET}, webhook)"
_STATE, _ONCE_KEY = map(rows.NEW_TARGET.split(", ").index, ("state", "once_key"))
_CHANGE = "UPDATE events SET status = ?, held = ?, settled_at = ? WHERE id = ?"
_DECIDE = f"""
UPDATE events SET status = ?, held = ?, settled_at = ?,
    joinable_until = CASE WHEN decided_at > {rows.ASIDE_UNDECIDED} THEN joinable_until ELSE {JOINABLE_FROM.replace("%s", "?")} END,
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
        taken = tasks_of(new_rows)
        if taken:
            transaction.write(TAKE, (taken,))
        for event_id, change in decided.items():
            transaction.write(_DECIDE, (*_values(change), by.at, by.at, *by, event_id))
        self.change(transaction, over)
        return targets

    def _add(self, transaction: Transaction, new_rows: Sequence[tuple[Any, ...]]) -> list[Target]:
        """Inserts new targets; returns those that are claimed or have a once key."""
        if not new_rows:
            return []
        webhooks: dict[str, str] = dict(
            transaction.fetch(_WEBHOOKS, (list({row[0] for row in new_rows}),))
        )
        found: list[Target] = []
        for is_returned, some in groupby(new_rows, _is_returned):
            returning = f"RETURNING {rows.TARGET}" if is_returned else ""
            found += map(
                rows.target,
                transaction.insert(
                    _TARGETS, [(*row, webhooks.get(row[0])) for row in some], returning
                ),
            )
        return found


def _is_returned(row: tuple[Any, ...]) -> bool:
    return row[_STATE] == "claimed" or row[_ONCE_KEY] is not None


def _values(change: EventChange) -> tuple[object, ...]:
    return change.status, number_of(change.hold), change.settled_at


_AFTER = rows.jumps("webhook", "bridge.targets", "state = 'pending'", after="%(after)s")
_TO = rows.jumps("webhook", "bridge.targets", "state = 'pending'", to="%(after)s")
_HAS_DUE = (
    "NOT value = ANY(%(blocked)s) AND (SELECT min(due_at) FROM bridge.targets t WHERE t.state ="
    " 'pending' AND t.webhook = value) <= %(now)s"
)
_WEBHOOKS_AFTER = f"{_AFTER} AND {_HAS_DUE} LIMIT %(webhooks)s"
_WEBHOOKS_TO = f"{_TO} AND {_HAS_DUE} LIMIT %(webhooks)s"
_CLAIM_FIRST = f"""{CLAIM}
WHERE id IN (
    SELECT id FROM bridge.targets WHERE state = 'pending' AND webhook = %s AND due_at <= %s ORDER BY due_at, id LIMIT %s
) RETURNING {rows.TARGET}, webhook
"""
_RECORD = """
UPDATE targets SET state = ?, due_at = ?, error = ?, not_sent = ?, workflow_id = ?, settled_at = ?, failing_since = ?,
    failures = ?
WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ?
"""
_VALUES = attrgetter(
    "state", "due_at", "error", "not_sent", "workflow_id", "settled_at", "failing_since"
)


class SqliteClaims(Claims):
    """Claims on SQLite."""

    def _in_turn(self, now: int, paces: Collection[str]) -> list[str]:
        values = {
            "after": self._served,
            "blocked": self._blocked(now, paces),
            "now": now,
            "webhooks": fairness.WEBHOOKS,
        }
        found = self._database.read(_WEBHOOKS_AFTER, values)
        if len(found) < fairness.WEBHOOKS:
            found += self._database.read(_WEBHOOKS_TO, values)
        return [webhook for (webhook,) in found[: fairness.WEBHOOKS]]

    def _claim_first(
        self, transaction: Transaction, worker: str, now: int, shares: Mapping[str, int]
    ) -> Rows:
        return [
            row
            for webhook, share in shares.items()
            for row in transaction.fetch(_CLAIM_FIRST, (worker, now, webhook, now, share))
        ]

    def _record(
        self, transaction: Transaction, worker: str, by_id: Mapping[int, Result], now: int
    ) -> Iterator[int]:
        for target_id, result in by_id.items():
            change = transitions.target_after(result.target, result, now)
            values = (*_VALUES(change), attempts_text(change.failures))
            if transaction.write(_RECORD, (*values, target_id, worker, result.target.attempts)):
                yield target_id

    def _change_tasks(
        self, transaction: Transaction, changes: Mapping[str, transitions.TaskChange]
    ) -> None:
        for task_id, change in changes.items():
            transaction.write(
                "UPDATE tasks SET state = ?, settled_at = ?, read_at = 0 WHERE id = ? AND state ="
                " 'taken'",
                (change.state, change.settled_at, task_id),
            )
