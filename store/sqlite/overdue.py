"""What has been waiting for longer than it should."""

from __future__ import annotations

from collections.abc import Collection

from store import rows
from store.sql.database import Database
from store.sql.pauses import PAUSED

_UNDECIDED_WEBHOOKS = rows.jumps("webhook", "events", "decided_at IS NULL")
_FIRST_UNDECIDED = (
    "SELECT seq, received_at FROM events WHERE decided_at IS NULL AND webhook = ?"
    " AND NOT EXISTS (SELECT 1 FROM quarantine WHERE quarantine.kind = 'event' AND quarantine.id = events.id)"
    " ORDER BY seq LIMIT 1"
)
_PENDING_WEBHOOKS = rows.jumps("webhook", "targets", "state = 'pending'")
_FIRST_DUE = (
    "SELECT id, attempts FROM targets WHERE state = 'pending' AND webhook = ? AND due_at < ? AND NOT EXISTS"
    " (SELECT 1 FROM quarantine WHERE quarantine.kind = 'target' AND quarantine.id = CAST(targets.id AS TEXT))"
    " ORDER BY due_at, id LIMIT 1"
)
_OLDEST_CLAIM = (
    "SELECT id, attempts FROM targets WHERE state = 'claimed' AND claimed_at < ? ORDER BY claimed_at LIMIT 1"
)


def overdue(database: Database, before: int, without: Collection[str] = (), paced: Collection[str] = ()) -> set[str]:
    """Implements `store.protocols.Queries.overdue`."""
    read = database.read
    left_out = {*without, *dict(read(PAUSED))}
    undecided = [webhook for (webhook,) in read(_UNDECIDED_WEBHOOKS) if webhook not in left_out]
    due = [webhook for (webhook,) in read(_PENDING_WEBHOOKS) if webhook not in paced]
    return {
        *(
            rows.overdue_event(seq)
            for webhook in undecided
            for seq, received_at in read(_FIRST_UNDECIDED, (webhook,))
            if received_at < before
        ),
        *(rows.overdue_target(*found) for webhook in due for found in read(_FIRST_DUE, (webhook, before))),
        *(rows.overdue_target(*found) for found in read(_OLDEST_CLAIM, (before,))),
    }
