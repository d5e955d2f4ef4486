"""Webhooks that accept and aren't decided for."""

from __future__ import annotations

from store.postgres.connections import Connections
from store.postgres.signals import ProcessWakeUp

PAUSED = "SELECT webhook, at FROM bridge.pauses"


class Pauses:
    """Implements `store.protocols.Pauses`."""

    _connections: Connections
    _wakeup: ProcessWakeUp

    def pause(self, webhook: str, now: int) -> None:
        with self._connections.transaction() as connection:
            self._connections.execute(
                connection,
                "INSERT INTO bridge.pauses (webhook, at) VALUES (%s, %s) ON CONFLICT (webhook) DO NOTHING",
                (webhook, now),
            )
        self._wakeup.ring("events")

    def resume(self, webhook: str) -> bool:
        with self._connections.transaction() as connection:
            resumed = self._connections.execute(connection, "DELETE FROM bridge.pauses WHERE webhook = %s", (webhook,))
        self._wakeup.ring("events")
        return resumed == 1

    def paused(self) -> dict[str, int]:
        return dict(self._connections.read(PAUSED))
