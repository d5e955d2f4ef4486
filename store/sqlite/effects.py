"""When calls of each kind last had their effects."""

from __future__ import annotations

from store.effects import Effects, after_effect
from store.protocols import EffectsOfCalls
from store.records import TargetKind
from store.sqlite.connections import Connections

_OF_KIND = "SELECT since, last FROM effects WHERE kind = ?"


class SqliteEffectsOfCalls(EffectsOfCalls):
    """Effects of calls on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def of_kind(self, kind: TargetKind) -> Effects | None:
        found = self._connections.read(_OF_KIND, (kind,))
        return Effects(*found[0]) if found else None

    def note(self, kind: TargetKind, now: int) -> None:
        with self._connections.transaction() as db:
            row = db.execute(_OF_KIND, (kind,)).fetchone()
            after = after_effect(Effects(*row) if row else None, now)
            db.execute(
                "INSERT OR REPLACE INTO effects (kind, since, last) VALUES (?, ?, ?)", (kind, after.since, after.last)
            )
