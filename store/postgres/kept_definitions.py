"""The last good definitions."""

from __future__ import annotations

from collections.abc import Mapping

from store.postgres.connections import Connections
from store.protocols import KeptDefinitions

_KEPT = "SELECT file, text FROM bridge.kept_definitions"


class PostgresKeptDefinitions(KeptDefinitions):
    """The kept definitions on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def all(self) -> dict[str, str]:
        return dict(self._connections.read(_KEPT))

    def keep(self, kept: Mapping[str, str]) -> None:
        before = self.all()
        if before == kept:
            return
        with self._connections.transaction() as connection:
            # Files in order, so that two processes that keep the same set wait for each other instead of failing.
            for file in sorted(before.keys() | kept.keys()):
                if file not in kept:
                    connection.write("DELETE FROM bridge.kept_definitions WHERE file = %s", (file,))
                elif before.get(file) != kept[file]:
                    connection.write(
                        "INSERT INTO bridge.kept_definitions (file, text) VALUES (%s, %s)"
                        " ON CONFLICT (file) DO UPDATE SET text = excluded.text",
                        (file, kept[file]),
                    )
