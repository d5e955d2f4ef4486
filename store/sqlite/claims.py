"""Finds due targets, with webhooks taking turns, and writes results: one row per statement."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter

from store import transitions, turns
from store.records import Result
from store.sql.claims import AFTER, HAS_DUE, TO, SqlClaims
from store.sql.database import Rows, Transaction
from store.story import attempts_text

_WEBHOOKS_AFTER = f"{AFTER} AND {HAS_DUE} LIMIT %(webhooks)s"
_WEBHOOKS_TO = f"{TO} AND {HAS_DUE} LIMIT %(webhooks)s"
_DUE_OF_WEBHOOK = (
    "SELECT id FROM targets WHERE state = 'pending' AND webhook = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?"
)
_RECORD = """
UPDATE targets SET state = ?, due_at = ?, error = ?, not_sent = ?, workflow_id = ?, settled_at = ?, failing_since = ?,
    failures = ?
WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ?
"""
_VALUES = attrgetter("state", "due_at", "error", "not_sent", "workflow_id", "settled_at", "failing_since")


class SqliteClaims(SqlClaims):
    """Claims on SQLite."""

    looks_at = 1

    def _in_turn(self, now: int, limit: int, paces: Collection[str], first: Rows) -> dict[str, list[int]]:
        webhooks = self._webhooks_with_due(now, self._blocked(now, paces))
        share = turns.share(limit, len(webhooks))
        due = {
            webhook: [target_id for (target_id,) in self._database.read(_DUE_OF_WEBHOOK, (webhook, now, share))]
            for webhook in webhooks
        }
        # Unused shares go to the other webhooks.
        for target_id, webhook in first:
            if webhook in due and webhook not in paces and target_id not in due[webhook]:
                due[webhook].append(target_id)
        return due

    def _webhooks_with_due(self, now: int, blocked: Sequence[str]) -> list[str]:
        """The webhooks with due targets whose turn is next, except blocked ones."""
        values = {"after": self._served, "blocked": blocked, "now": now, "webhooks": turns.WEBHOOKS}
        found = self._database.read(_WEBHOOKS_AFTER, values)
        if len(found) < turns.WEBHOOKS:
            found += self._database.read(_WEBHOOKS_TO, values)
        return [webhook for (webhook,) in found[: turns.WEBHOOKS]]

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
