"""What the processes last said of themselves."""

from __future__ import annotations

from store.protocols import Facts
from store.sqlite.connections import Connections

_TOLD = "SELECT name, value FROM facts WHERE name NOT IN ('fingerprint_salt', 'session_key')"


class SqliteFacts(Facts):
    """Facts on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def all(self) -> dict[str, str]:
        return dict(self._connections.read(_TOLD))

    def set(self, name: str, value: str | None) -> None:
        with self._connections.transaction() as db:
            if value is None:
                db.execute("DELETE FROM facts WHERE name = ?", (name,))
            else:
                db.execute(
                    "INSERT INTO facts (name, value, at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
                    " SET value = excluded.value, at = excluded.at",
                    (name, value, self._connections.now()),
                )
