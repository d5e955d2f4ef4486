"""Finds due targets, with webhooks taking turns, and writes results: many rows per statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from store import transitions, turns
from store.records import Result
from store.sql.claims import AFTER, HAS_DUE, TO, SqlClaims, by_webhook
from store.sql.database import Rows, Transaction
from store.story import attempts_text

_DUE_IN_TURN = f"""
WITH webhooks AS MATERIALIZED (
    SELECT value, row_number() OVER () AS turn FROM (
        SELECT value FROM ({AFTER}) later WHERE {HAS_DUE} UNION ALL SELECT value FROM ({TO}) first WHERE {HAS_DUE}
    ) next LIMIT %(webhooks)s
), counted AS MATERIALIZED (SELECT count(*) AS number FROM webhooks)
SELECT due.id, value FROM webhooks CROSS JOIN LATERAL (
    SELECT id, due_at FROM bridge.targets t WHERE t.state = 'pending' AND t.webhook = value AND t.due_at <= %(now)s
    ORDER BY due_at, id LIMIT (SELECT ceil(%(limit)s::numeric / greatest(1, number))::bigint FROM counted)
) due ORDER BY turn, due.due_at, due.id
"""
"""The next webhooks with due targets whose turn it is, and the first of each."""


class PostgresClaims(SqlClaims):
    """Claims on PostgreSQL."""

    looks_at = 4

    def _in_turn(self, now: int, limit: int, paces: Collection[str], first: Rows) -> dict[str, list[int]]:
        blocked = self._blocked(now, paces)
        values = {"after": self._served, "blocked": blocked, "now": now, "webhooks": turns.WEBHOOKS, "limit": limit}
        return by_webhook(self._database.read(_DUE_IN_TURN, values))

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
