"""Finds due targets, with webhooks taking turns, and writes results: one row per statement."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from operator import attrgetter

from store.records import Result
from store.rules import fairness, transitions
from store.sql import rows
from store.sql.claims import CLAIM, Claims
from store.sql.database import Rows, Transaction
from store.story import attempts_text

_AFTER = rows.jumps("webhook", "bridge.targets", "state = 'pending'", after="%(after)s")
_TO = rows.jumps("webhook", "bridge.targets", "state = 'pending'", to="%(after)s")
_HAS_DUE = (
    "NOT value = ANY(%(blocked)s) AND"
    " (SELECT min(due_at) FROM bridge.targets t WHERE t.state = 'pending' AND t.webhook = value) <= %(now)s"
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
_VALUES = attrgetter("state", "due_at", "error", "not_sent", "workflow_id", "settled_at", "failing_since")


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

    def _claim_first(self, transaction: Transaction, worker: str, now: int, shares: Mapping[str, int]) -> Rows:
        return [
            row
            for webhook, share in shares.items()
            for row in transaction.fetch(_CLAIM_FIRST, (worker, now, webhook, now, share))
        ]

    def _record(self, transaction: Transaction, worker: str, by_id: Mapping[int, Result], now: int) -> Iterator[int]:
        for target_id, result in by_id.items():
            change = transitions.target_after(result.target, result, now)
            values = (*_VALUES(change), attempts_text(change.failures))
            if transaction.write(_RECORD, (*values, target_id, worker, result.target.attempts)):
                yield target_id

    def _change_tasks(self, transaction: Transaction, changes: Mapping[str, transitions.TaskChange]) -> None:
        for task_id, change in changes.items():
            transaction.write(
                "UPDATE tasks SET state = ?, settled_at = ? WHERE id = ? AND state = 'taken'",
                (change.state, change.settled_at, task_id),
            )
