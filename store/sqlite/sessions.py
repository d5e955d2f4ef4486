"""People's sessions with the admin page."""

from __future__ import annotations

from store.protocols import Sessions
from store.sqlite.connections import Connections
from store.sqlite.secret_facts import secret_fact


class SqliteSessions(Sessions):
    """Sessions on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def key(self) -> bytes:
        return secret_fact(self._connections, "session_key")

    def end(self, session_id: str, until: int, now: int) -> None:
        with self._connections.transaction() as db:
            db.execute("DELETE FROM sessions_over WHERE until < ?", (now,))
            db.execute("INSERT OR IGNORE INTO sessions_over (id, until) VALUES (?, ?)", (session_id, until))

    def is_over(self, session_id: str) -> bool:
        return bool(self._connections.read("SELECT 1 FROM sessions_over WHERE id = ?", (session_id,)))
