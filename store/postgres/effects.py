"""When calls of each kind last had their effects."""

from __future__ import annotations

from store.effects import Effects, after_effect
from store.postgres.connections import Connections
from store.protocols import EffectsOfCalls
from store.records import TargetKind

_OF_KIND = "SELECT since, last FROM bridge.effects WHERE kind = %s"


class PostgresEffectsOfCalls(EffectsOfCalls):
    """Effects of calls on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def of_kind(self, kind: TargetKind) -> Effects | None:
        found = self._connections.read(_OF_KIND, (kind,))
        return Effects(*found[0]) if found else None

    def note(self, kind: TargetKind, now: int) -> None:
        with self._connections.transaction() as connection:
            found = connection.fetch(f"{_OF_KIND} FOR UPDATE", (kind,))
            after = after_effect(Effects(*found[0]) if found else None, now)
            connection.write(
                "INSERT INTO bridge.effects (kind, since, last) VALUES (%s, %s, %s)"
                " ON CONFLICT (kind) DO UPDATE SET since = excluded.since, last = excluded.last",
                (kind, after.since, after.last),
            )
