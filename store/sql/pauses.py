"""Webhooks whose deliveries are accepted but not decided."""

from __future__ import annotations

from store.protocols import Signals
from store.sql.database import Database

PAUSED = "SELECT webhook, at FROM bridge.pauses"


class Pauses:
    """Webhooks whose deliveries are accepted but not decided. One row per paused webhook."""

    def __init__(self, database: Database, signals: Signals):
        self._database = database
        self._signals = signals

    def pause(self, webhook: str, now: int) -> None:
        """Pauses the webhook from now on, unless it is paused already."""
        with self._database.transaction() as transaction:
            transaction.write(
                "INSERT INTO bridge.pauses (webhook, at) VALUES (%s, %s) ON CONFLICT DO NOTHING", (webhook, now)
            )
        self._signals.notify("events")

    def resume(self, webhook: str) -> bool:
        """Ends the pause; False if the webhook wasn't paused."""
        with self._database.transaction() as transaction:
            resumed = transaction.write("DELETE FROM bridge.pauses WHERE webhook = %s", (webhook,))
        self._signals.notify("events")
        return resumed == 1

    def paused(self) -> dict[str, int]:
        """webhook → since when it has been paused."""
        return dict(self._database.read(PAUSED))
