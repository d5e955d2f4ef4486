"""What the admin page has to remember: its sessions, and what it must not show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from store.sqlite.connections import Connections
from store.sqlite.secret_facts import secret_fact


class Page:
    """Implements `store.protocols.Sessions` and `HiddenPaths`."""

    _connections: Connections

    def session_key(self) -> bytes:
        return secret_fact(self._connections, "session_key")

    def end_session(self, session_id: str, until: int, now: int) -> None:
        with self._connections.transaction() as db:
            db.execute("DELETE FROM sessions_over WHERE until < ?", (now,))
            db.execute("INSERT OR IGNORE INTO sessions_over (id, until) VALUES (?, ?)", (session_id, until))

    def is_session_over(self, session_id: str) -> bool:
        return bool(self._connections.read("SELECT 1 FROM sessions_over WHERE id = ?", (session_id,)))

    def keep_hidden_paths(self, paths: Mapping[str, Sequence[str]]) -> None:
        with self._connections.transaction() as db:
            db.conn.executemany(
                "INSERT INTO hidden_paths (webhook, paths) VALUES (?, ?)"
                " ON CONFLICT (webhook) DO UPDATE SET paths = excluded.paths",
                [(webhook, json.dumps(list(of_webhook))) for webhook, of_webhook in paths.items()],
            )

    def hidden_paths(self) -> dict[str, tuple[str, ...]]:
        found = self._connections.read("SELECT webhook, paths FROM hidden_paths")
        return {webhook: tuple(json.loads(paths)) for webhook, paths in found}
