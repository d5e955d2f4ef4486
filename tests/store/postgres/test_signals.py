"""The thread that notifies other processes."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

import pytest
from structlog.testing import capture_logs

from store.errors import StoreUnavailable
from store.postgres.connections import Connections
from store.postgres.signals import PostgresSignals
from tools.servers import PATIENCE


class Told:
    """Connections that keep what is told through them; the first time may fail."""

    address = SimpleNamespace(schema="webhook_bridge")

    def __init__(self, error: Exception | None = None):
        self.error = error
        self.channels: list[str] = []
        self.asked = threading.Semaphore(0)

    def read(self, _: str, parameters: tuple[list[str]], __: float) -> None:
        error, self.error = self.error, None
        self.channels += parameters[0]
        self.asked.release()
        if error is not None:
            raise error


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("a bug")])
def test_a_notification_that_fails_is_not_the_last(error: Exception) -> None:
    connections = Told(error)
    signals = PostgresSignals(cast(Connections, connections))
    with capture_logs() as logs:
        for _ in range(2):
            signals.notify("events")
            assert connections.asked.acquire(timeout=PATIENCE)
    assert [line["log_level"] for line in logs] == (
        ["error"] if isinstance(error, RuntimeError) else []
    )
