"""People's sessions with the admin page."""

from __future__ import annotations

from store.postgres.connections import Connections
from store.postgres.secret_facts import secret_fact
from store.protocols import Sessions


class PostgresSessions(Sessions):
    """Sessions on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def key(self) -> bytes:
        return secret_fact(self._connections, "session_key")

    def end(self, session_id: str, until: int, now: int) -> None:
        with self._connections.transaction() as connection:
            connection.write("DELETE FROM bridge.sessions_over WHERE until < %s", (now,))
            connection.write(
                "INSERT INTO bridge.sessions_over (id, until) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (session_id, until),
            )

    def is_over(self, session_id: str) -> bool:
        return bool(self._connections.read("SELECT 1 FROM bridge.sessions_over WHERE id = %s", (session_id,)))
