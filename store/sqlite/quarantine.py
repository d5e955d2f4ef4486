"""What failed alone, and is tried again at its time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from store import rows
from store.protocols import Quarantine
from store.records import SetAside, SetAsideKind
from store.sqlite.connections import Connection, Connections
from store.sqlite.parts import marks, parts

_SET_ASIDE = f"""
INSERT INTO quarantine ({rows.SET_ASIDE}) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET webhook = excluded.webhook, reason = excluded.reason,
    since = min(since, excluded.since), tries = excluded.tries, due_at = excluded.due_at
"""
_UNDECIDED_ASIDE = f"UPDATE events SET decided_at = {rows.ASIDE_UNDECIDED} WHERE id = ? AND decided_at IS NULL"
_HELD_ASIDE = f"UPDATE events SET held = held + {rows.ASIDE} WHERE id = ? AND held IN (1, 2)"
_UNDECIDED_AGAIN = f"UPDATE events SET decided_at = NULL WHERE id = ? AND decided_at = {rows.ASIDE_UNDECIDED}"
_HELD_AGAIN = (
    f"UPDATE events SET held = {rows.HOLDS.index('recheck')}"
    f" WHERE id = ? AND held IN ({1 + rows.ASIDE}, {2 + rows.ASIDE})"
)
"""Also what was held before: the worker that decides holds it again only when the agenda has it."""
_PRUNE_ENDED = """
DELETE FROM quarantine WHERE kind = 'target' AND id IN (
    SELECT id FROM (SELECT id FROM quarantine WHERE kind = 'target' ORDER BY due_at LIMIT ?) first
    WHERE NOT EXISTS (
        SELECT 1 FROM targets t WHERE t.id = CAST(first.id AS INTEGER) AND t.state IN ('pending', 'claimed')
    )
)
"""
_COUNTS = rows.set_aside_counts("quarantine")


class SqliteQuarantine(Quarantine):
    """The quarantine on SQLite."""

    def __init__(self, connections: Connections):
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

    def items(
        self,
        kind: SetAsideKind | None = None,
        due_before: int | None = None,
        ids: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> list[SetAside]:
        kinds = rows.KINDS if kind is None else (kind,)
        if ids is not None:
            found = [
                item
                for part in parts(ids)
                for item in self._set_aside(
                    f"WHERE kind IN ({marks(kinds)}) AND id IN ({marks(part)})", (*kinds, *part)
                )
                if due_before is None or item.due_at < due_before
            ]
            return sorted(found, key=lambda item: (item.due_at, item.kind, item.id))[:limit]
        where = ["kind = ?"] * (kind is not None) + ["due_at < ?"] * (due_before is not None)
        values = [value for value in (kind, due_before) if value is not None]
        conditions = f"WHERE {' AND '.join(where)}" if where else ""
        return self._set_aside(f"{conditions} ORDER BY due_at, kind, id LIMIT ?", (*values, limit))

    def counts(self) -> dict[SetAsideKind, int]:
        return {kind: number for kind, number in self._connections.read(_COUNTS) if number}

    def _set_aside(self, where: str, values: Iterable[Any]) -> list[SetAside]:
        return [
            rows.set_aside(row)
            for row in self._connections.read(f"SELECT {rows.SET_ASIDE} FROM quarantine {where}", values)
        ]


def take_back(db: Connection, kind: SetAsideKind, ids: Sequence[str]) -> None:
    """Deletes what is set aside of this kind with one of these ids."""
    for part in parts(ids):
        db.execute(f"DELETE FROM quarantine WHERE kind = ? AND id IN ({marks(part)})", (kind, *part))


def prune(db: Connection, before: int, limit: int) -> None:
    """Deletes up to `limit` items that were due before, and that nobody has tried since: there is nothing to try.

    Of targets those that have ended: another worker may not have known that one was set aside. Events go with their
    rows: as long as one is left out of the agenda it must be found here.
    """
    db.execute(_PRUNE_ENDED, (limit,))
    db.execute(
        "DELETE FROM quarantine WHERE (kind, id) IN"
        " (SELECT kind, id FROM quarantine WHERE due_at < ? AND kind != 'event' ORDER BY due_at LIMIT ?)",
        (before, limit),
    )
