"""Webhooks that accept and aren't decided for."""

from __future__ import annotations

from store.protocols import Pauses
from store.sqlite.connections import Connections
from store.sqlite.signals import ProcessWakeUp

PAUSED = "SELECT webhook, at FROM pauses"


class SqlitePauses(Pauses):
    """Pauses on SQLite."""

    def __init__(self, connections: Connections, wake_up: ProcessWakeUp):
        self._connections = connections
        self._wake_up = wake_up

    def pause(self, webhook: str, now: int) -> None:
        with self._connections.transaction() as db:
            db.execute(
                "INSERT INTO pauses (webhook, at) VALUES (?, ?) ON CONFLICT (webhook) DO NOTHING",
                (webhook, now),
            )
        self._wake_up.send()

    def resume(self, webhook: str) -> bool:
        with self._connections.transaction() as db:
            row = db.execute("DELETE FROM pauses WHERE webhook = ? RETURNING webhook", (webhook,)).fetchone()
        self._wake_up.send()
        return row is not None

    def paused(self) -> dict[str, int]:
        return dict(self._connections.read(PAUSED))
