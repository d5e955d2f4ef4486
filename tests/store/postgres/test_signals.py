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
from store.sql.database import Topic
from testkit import PATIENCE


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
    assert [line["log_level"] for line in logs] == (["error"] if isinstance(error, RuntimeError) else [])


def test_news_is_told_although_what_was_to_be_told_is_taken_at_that_moment() -> None:
    connections = Told()
    signals = PostgresSignals(cast(Connections, connections))
    signals.notify("targets")
    assert connections.asked.acquire(timeout=PATIENCE)

    class Taken(set[Topic]):
        """Taken by the thread between the look for it and the addition to it."""

        def add(self, topic: Topic) -> None:
            signals._rung.set()
            assert connections.asked.acquire(timeout=PATIENCE)
            super().add(topic)

    signals._wanted = Taken()
    signals.notify("events")
    assert connections.asked.acquire(timeout=PATIENCE)
    assert connections.channels == ["webhook_bridge_targets", "webhook_bridge_events"]
