"""Webhooks that accept and aren't decided for."""

from __future__ import annotations

from store.postgres.connections import Connections
from store.postgres.signals import ProcessWakeUp
from store.protocols import Pauses

PAUSED = "SELECT webhook, at FROM bridge.pauses"


class PostgresPauses(Pauses):
    """Pauses on PostgreSQL."""

    def __init__(self, connections: Connections, wake_up: ProcessWakeUp):
        self._connections = connections
        self._wake_up = wake_up

    def pause(self, webhook: str, now: int) -> None:
        with self._connections.transaction() as connection:
            connection.write(
                "INSERT INTO bridge.pauses (webhook, at) VALUES (%s, %s) ON CONFLICT (webhook) DO NOTHING",
                (webhook, now),
            )
        self._wake_up.ring("events")

    def resume(self, webhook: str) -> bool:
        with self._connections.transaction() as connection:
            resumed = connection.write("DELETE FROM bridge.pauses WHERE webhook = %s", (webhook,))
        self._wake_up.ring("events")
        return resumed == 1

    def paused(self) -> dict[str, int]:
        return dict(self._connections.read(PAUSED))
