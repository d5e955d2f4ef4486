"""Webhooks that accept and aren't decided for."""

from __future__ import annotations

from store.sqlite.connections import Connections
from store.sqlite.signals import ProcessWakeUp

PAUSED = "SELECT webhook, at FROM pauses"


class Pauses:
    """Implements `store.protocols.Pauses`."""

    _connections: Connections
    _wake: ProcessWakeUp

    def pause(self, webhook: str, now: int) -> None:
        with self._connections.transaction() as db:
            db.execute(
                "INSERT INTO pauses (webhook, at) VALUES (?, ?) ON CONFLICT (webhook) DO NOTHING",
                (webhook, now),
            )
        self._wake.send()

    def resume(self, webhook: str) -> bool:
        with self._connections.transaction() as db:
            row = db.execute("DELETE FROM pauses WHERE webhook = ? RETURNING webhook", (webhook,)).fetchone()
        self._wake.send()
        return row is not None

    def paused(self) -> dict[str, int]:
        return dict(self._connections.read(PAUSED))
