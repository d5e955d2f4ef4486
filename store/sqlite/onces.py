"""Who holds the key of a start that is to be one with others."""

from __future__ import annotations

from collections.abc import Sequence

from store.protocols import OnceKeys
from store.records import OnceHolder
from store.sqlite.connections import Connection, Connections
from store.sqlite.parts import marks, parts


class SqliteOnceKeys(OnceKeys):
    """Once keys on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def holder(self, key: str) -> OnceHolder | None:
        found = self._connections.read(
            "SELECT onces.target_id, targets.state, coalesce(targets.workflow_id, onces.workflow_id)"
            " FROM onces LEFT JOIN targets ON targets.id = onces.target_id WHERE key = ?",
            (key,),
        )
        return OnceHolder(*found[0]) if found else None

    def take(self, key: str, holder: OnceHolder | None, target_id: int) -> bool:
        with self._connections.transaction() as db:
            if holder is None:
                return take_free(db, key, target_id)
            row = db.execute(
                "UPDATE onces SET target_id = ?, workflow_id = NULL WHERE key = ? AND target_id IS ? RETURNING key",
                (target_id, key, holder.target_id),
            ).fetchone()
            return row is not None

    def pruned(self, after: str, limit: int) -> list[tuple[str, str]]:
        return [
            (key, workflow_id)
            for key, workflow_id in self._connections.read(
                "SELECT key, workflow_id FROM onces WHERE target_id IS NULL AND key > ? ORDER BY key LIMIT ?",
                (after, limit),
            )
        ]

    def forget(self, keys: Sequence[str]) -> None:
        for part in parts(keys):
            with self._connections.transaction() as db:
                db.execute(f"DELETE FROM onces WHERE key IN ({marks(part)}) AND target_id IS NULL", part)


def take_free(db: Connection, key: str, target_id: int) -> bool:
    """Makes the target the key's holder, if it has none; whether it is."""
    row = db.execute(
        "INSERT INTO onces (key, target_id) VALUES (?, ?) ON CONFLICT (key) DO NOTHING RETURNING key", (key, target_id)
    ).fetchone()
    return row is not None


def prune(db: Connection, target_ids: Sequence[object]) -> None:
    """Lets these targets go, before they are deleted: of one whose workflow may run, that stays."""
    held = db.execute(
        "SELECT onces.key, targets.workflow_id, targets.once_while FROM targets"
        " JOIN onces ON onces.target_id = targets.id"
        f" WHERE targets.id IN ({marks(target_ids)}) AND targets.once_key IS NOT NULL",
        target_ids,
    ).fetchall()
    for key, workflow_id, once_while in held:
        if workflow_id is not None and once_while == "running":
            db.execute("UPDATE onces SET target_id = NULL, workflow_id = ? WHERE key = ?", (workflow_id, key))
        else:
            db.execute("DELETE FROM onces WHERE key = ?", (key,))
