"""What the admin page has to remember: its sessions, and what it must not show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from store.postgres.connections import Connections
from store.postgres.secret_facts import secret_fact


class Page:
    """Implements `store.protocols.Sessions` and `HiddenPaths`."""

    _connections: Connections

    def session_key(self) -> bytes:
        return secret_fact(self._connections, "session_key")

    def end_session(self, session_id: str, until: int, now: int) -> None:
        with self._connections.transaction() as connection:
            self._connections.execute(connection, "DELETE FROM bridge.sessions_over WHERE until < %s", (now,))
            self._connections.execute(
                connection,
                "INSERT INTO bridge.sessions_over (id, until) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (session_id, until),
            )

    def is_session_over(self, session_id: str) -> bool:
        return bool(self._connections.read("SELECT 1 FROM bridge.sessions_over WHERE id = %s", (session_id,)))

    def keep_hidden_paths(self, paths: Mapping[str, Sequence[str]]) -> None:
        with self._connections.transaction() as connection:
            # In one order everywhere: processes that wait for each other's rows must not do so in a circle.
            for webhook, of_webhook in sorted(paths.items()):
                self._connections.execute(
                    connection,
                    "INSERT INTO bridge.hidden_paths (webhook, paths) VALUES (%s, %s)"
                    " ON CONFLICT (webhook) DO UPDATE SET paths = excluded.paths",
                    (webhook, json.dumps(list(of_webhook))),
                )

    def hidden_paths(self) -> dict[str, tuple[str, ...]]:
        found = self._connections.read("SELECT webhook, paths FROM bridge.hidden_paths")
        return {webhook: tuple(json.loads(paths)) for webhook, paths in found}
