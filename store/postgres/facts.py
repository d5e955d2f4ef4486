"""What the processes last said of themselves."""

from __future__ import annotations

from store.postgres.connections import Connections
from store.protocols import Facts

_TOLD = "SELECT name, value FROM bridge.facts WHERE name NOT IN ('fingerprint_salt', 'session_key')"


class PostgresFacts(Facts):
    """Facts on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def all(self) -> dict[str, str]:
        found = self._connections.read(_TOLD)
        return dict(found)

    def set(self, name: str, value: str | None) -> None:
        with self._connections.transaction() as connection:
            if value is None:
                connection.write("DELETE FROM bridge.facts WHERE name = %s", (name,))
            else:
                connection.write(
                    "INSERT INTO bridge.facts (name, value, at) VALUES (%s, %s, %s) ON CONFLICT (name) DO UPDATE"
                    " SET value = excluded.value, at = excluded.at",
                    (name, value, self._connections.now()),
                )
