"""Finds due targets, with webhooks taking turns, and writes results: many rows per statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from store import rows, transitions, turns
from store.records import Result
from store.sql.claims import AFTER, CLAIM, HAS_DUE, TO, SqlClaims
from store.sql.database import Rows, Transaction
from store.story import attempts_text

_IN_TURN = f"""
SELECT value FROM ({AFTER}) later WHERE {HAS_DUE} UNION ALL SELECT value FROM ({TO}) first WHERE {HAS_DUE}
LIMIT %(webhooks)s
"""
"""The next webhooks with due targets whose turn it is."""
# Rows that another worker is claiming are passed over before they count: so workers that claim at the same time get
# different targets, however many workers there are. The array makes sure that this is done once.
_CLAIM_FIRST = f"""{CLAIM}
WHERE id = ANY(ARRAY(
    SELECT due.id FROM unnest(%s::text[], %s::bigint[]) AS asked (webhook, share) CROSS JOIN LATERAL (
        SELECT id FROM bridge.targets t WHERE t.state = 'pending' AND t.webhook = asked.webhook AND t.due_at <= %s
        ORDER BY due_at, id LIMIT asked.share FOR UPDATE SKIP LOCKED
    ) due
)) RETURNING {rows.TARGET}, webhook
"""


class PostgresClaims(SqlClaims):
    """Claims on PostgreSQL."""

    def _in_turn(self, now: int, paces: Collection[str]) -> list[str]:
        blocked = self._blocked(now, paces)
        values = {"after": self._served, "blocked": blocked, "now": now, "webhooks": turns.WEBHOOKS}
        return [webhook for (webhook,) in self._database.read(_IN_TURN, values)]

    def _claim_first(self, transaction: Transaction, worker: str, now: int, shares: Mapping[str, int]) -> Rows:
        return transaction.fetch(_CLAIM_FIRST, (worker, now, list(shares), list(shares.values()), now))

    def _record(self, transaction: Transaction, worker: str, by_id: Mapping[int, Result], now: int) -> list[int]:
        changes = [transitions.target_after(result.target, result, now) for result in by_id.values()]
        found = transaction.fetch(
            "UPDATE bridge.targets t SET state = c.state, error = c.error, workflow_id = c.workflow_id,"
            " due_at = c.due_at, not_sent = c.not_sent, settled_at = c.settled_at,"
            " failing_since = c.failing_since, failures = c.failures"
            " FROM unnest(%b::bigint[], %b::int[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bool[],"
            " %b::bigint[], %b::bigint[], %b::text[])"
            " AS c (id, attempts, state, error, workflow_id, due_at, not_sent, settled_at, failing_since, failures)"
            " WHERE t.id = c.id AND t.state = 'claimed' AND t.claimed_by = %s AND t.attempts = c.attempts"
            " RETURNING t.id",
            (
                list(by_id),
                [result.target.attempts for result in by_id.values()],
                [change.state for change in changes],
                [change.error for change in changes],
                [change.workflow_id for change in changes],
                [change.due_at for change in changes],
                [change.not_sent for change in changes],
                [change.settled_at for change in changes],
                [change.failing_since for change in changes],
                [attempts_text(change.failures) for change in changes],
                worker,
            ),
        )
        return sorted(row[0] for row in found)

    def _change_tasks(self, transaction: Transaction, changes: Mapping[str, transitions.TaskChange]) -> None:
        if changes:
            ids = sorted(changes)
            transaction.write(
                "UPDATE bridge.tasks t SET state = c.state, settled_at = c.settled_at"
                " FROM unnest(%b::text[], %b::text[], %b::bigint[]) AS c (id, state, settled_at)"
                " WHERE t.id = c.id AND t.state = 'taken'",
                (ids, [changes[task_id].state for task_id in ids], [changes[task_id].settled_at for task_id in ids]),
            )
