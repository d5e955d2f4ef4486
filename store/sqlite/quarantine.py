"""Items that failed alone, and are retried later."""

from __future__ import annotations

from collections.abc import Sequence

from store import rows
from store.records import SetAside, SetAsideKind
from store.sql.holds import ASIDE, MAY_BE_SET_ASIDE, RECHECK, SET_ASIDE
from store.sql.quarantine import SqlQuarantine
from store.sqlite.connections import Connection, Connections
from store.sqlite.parts import marks, parts

_SET_ASIDE = f"""
INSERT INTO quarantine ({rows.SET_ASIDE}) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET webhook = excluded.webhook, reason = excluded.reason,
    since = min(since, excluded.since), tries = excluded.tries, due_at = excluded.due_at
"""
_UNDECIDED_ASIDE = f"UPDATE events SET decided_at = {rows.ASIDE_UNDECIDED} WHERE id = ? AND decided_at IS NULL"
_HELD_ASIDE = f"UPDATE events SET held = held + {ASIDE} WHERE id = ? AND held IN {MAY_BE_SET_ASIDE}"
_UNDECIDED_AGAIN = f"UPDATE events SET decided_at = NULL WHERE id = ? AND decided_at = {rows.ASIDE_UNDECIDED}"
_HELD_AGAIN = f"UPDATE events SET held = {RECHECK} WHERE id = ? AND held IN {SET_ASIDE}"
"""Also for events that were held before: the leader holds them again only once the agenda has them."""
_PRUNE_ENDED = """
DELETE FROM quarantine WHERE kind = 'target' AND id IN (
    SELECT id FROM (SELECT id FROM quarantine WHERE kind = 'target' ORDER BY due_at LIMIT ?) first
    WHERE NOT EXISTS (
        SELECT 1 FROM targets t WHERE t.id = CAST(first.id AS INTEGER) AND t.state IN ('pending', 'claimed')
    )
)
"""


class SqliteQuarantine(SqlQuarantine):
    """The quarantine on SQLite."""

    def __init__(self, connections: Connections):
        super().__init__(connections)
        self._connections = connections

    def set_aside(self, items: Sequence[SetAside]) -> None:
        if items:
            with self._connections.transaction() as db:
                db.executemany(_SET_ASIDE, rows.set_aside_rows(items))
                events = [(item.id,) for item in items if item.kind == "event"]
                db.executemany(_UNDECIDED_ASIDE, events)
                db.executemany(_HELD_ASIDE, events)

    def take_back(self, kind: SetAsideKind, ids: Sequence[str]) -> None:
        if ids:
            with self._connections.transaction() as db:
                take_back(db, kind, ids)
                if kind == "event":
                    events = [(event_id,) for event_id in ids]
                    db.executemany(_UNDECIDED_AGAIN, events)
                    db.executemany(_HELD_AGAIN, events)


def take_back(db: Connection, kind: SetAsideKind, ids: Sequence[str]) -> None:
    """Deletes items of this kind with one of these ids."""
    for part in parts(ids):
        db.execute(f"DELETE FROM quarantine WHERE kind = ? AND id IN ({marks(part)})", (kind, *part))


def prune(db: Connection, before: int, limit: int) -> None:
    """Deletes up to `limit` items that were due before that time and that nobody has retried since: there is nothing to
    retry.

    Of targets, deletes only those that have ended: another worker may not have known that one was set aside. Events are
    deleted along with their rows: as long as one is left out of the agenda, it must be found here.
    """
    db.execute(_PRUNE_ENDED, (limit,))
    db.execute(
        "DELETE FROM quarantine WHERE (kind, id) IN"
        " (SELECT kind, id FROM quarantine WHERE due_at < ? AND kind != 'event' ORDER BY due_at LIMIT ?)",
        (before, limit),
    )
