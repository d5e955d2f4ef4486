"""What has been waiting for longer than it should."""

from __future__ import annotations

from collections.abc import Collection

from store import rows
from store.postgres.connections import Connections

_UNDECIDED = f"""
SELECT first.seq FROM ({rows.jumps("webhook", "bridge.events", "decided_at IS NULL")}) webhooks CROSS JOIN LATERAL (
    SELECT seq, received_at FROM bridge.events e WHERE e.decided_at IS NULL AND e.webhook = webhooks.value
    AND NOT EXISTS (SELECT 1 FROM bridge.quarantine q WHERE q.kind = 'event' AND q.id = e.id) ORDER BY seq LIMIT 1
) first WHERE first.received_at < %s AND webhooks.value != ALL(%s)
AND webhooks.value NOT IN (SELECT webhook FROM bridge.pauses)
"""
_DUE = f"""
SELECT first.id, first.attempts FROM ({rows.jumps("webhook", "bridge.targets", "state = 'pending'")}) webhooks
CROSS JOIN LATERAL (
    SELECT id, attempts FROM bridge.targets t WHERE t.state = 'pending' AND t.webhook = webhooks.value AND t.due_at < %s
    AND NOT EXISTS (SELECT 1 FROM bridge.quarantine q WHERE q.kind = 'target' AND q.id = t.id::text)
    ORDER BY due_at, id LIMIT 1
) first WHERE webhooks.value != ALL(%s)
"""
_OLDEST_CLAIM = (
    "SELECT id, attempts FROM bridge.targets WHERE state = 'claimed' AND claimed_at < %s ORDER BY claimed_at LIMIT 1"
)


def overdue(
    connections: Connections, before: int, without: Collection[str] = (), paced: Collection[str] = ()
) -> set[str]:
    """Implements `store.protocols.Queries.overdue`."""
    undecided, due, claimed = connections.read_together(
        (_UNDECIDED, (before, list(without))), (_DUE, (before, list(paced))), (_OLDEST_CLAIM, (before,))
    )
    return {
        *(rows.overdue_event(*found) for found in undecided),
        *(rows.overdue_target(*found) for found in (*due, *claimed)),
    }
