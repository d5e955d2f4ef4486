"""Webhooks that accept and aren't decided for."""

from __future__ import annotations

from events.postgres.connections import Connections
from events.postgres.signals import Bell

PAUSED = "SELECT webhook, at FROM bridge.pauses"


class Pauses:
    """Implements `events.store.Pauses`."""

    _connections: Connections
    _bell: Bell

    def pause(self, webhook: str, now: int) -> None:
        with self._connections.transaction() as connection:
            self._connections.execute(
                connection,
                "INSERT INTO bridge.pauses (webhook, at) VALUES (%s, %s) ON CONFLICT (webhook) DO NOTHING",
                (webhook, now),
            )
        self._bell.ring("events")

    def resume(self, webhook: str) -> bool:
        with self._connections.transaction() as connection:
            resumed = self._connections.execute(connection, "DELETE FROM bridge.pauses WHERE webhook = %s", (webhook,))
        self._bell.ring("events")
        return resumed == 1

    def paused(self) -> dict[str, int]:
        return dict(self._connections.read(PAUSED))
