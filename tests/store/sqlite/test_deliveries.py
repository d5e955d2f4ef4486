"""Events in: committed in groups, durably, each delivery whole or not at all."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from unittest import mock

import pytest

from store.errors import StoreUnavailable
from store.records import NewEvent, new_event_id
from store.sqlite import SqliteStore, open_store
from testkit import PATIENCE


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(f"sqlite:///{tmp_path / 'bridge.db'}")
    yield store
    store._connections.close()


def event(delivery_id: str | None = None, payload: str = '{"a": 1}', webhook: str = "w") -> NewEvent:
    return NewEvent(new_event_id(), webhook, 1000, payload, {"host": "h"}, {"q": "1"}, 2000, delivery_id)


def test_whoever_has_less_time_waits_no_longer_for_the_database(store: SqliteStore, tmp_path: Path) -> None:
    """Behind another process, and behind others of this one that wait for it."""
    with (
        closing(sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)) as other,
        mock.patch.object(store._connections, "busy_timeout", 30),
    ):
        other.execute("BEGIN IMMEDIATE")
        waits = threading.Thread(target=lambda: suppressed(store.deliveries.check_writable))
        waits.start()
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                store.deliveries.append([event()], began + 0.3)
            assert time.monotonic() - began < 10
        other.execute("ROLLBACK")
        waits.join(PATIENCE)
    store.deliveries.append([event()])


def suppressed(call: Callable[[], object]) -> None:
    with suppress(StoreUnavailable):
        call()


def test_a_commit_wakes_who_listens_and_a_duplicate_does_not(store: SqliteStore) -> None:
    with closing(store.signals.listener("events")) as listener:
        store.deliveries.append([event("d")])
        assert listener.wait(5)
        store.deliveries.append([event("d")])
        assert not listener.wait(0)


def test_a_listener_that_died_is_no_reason_to_fail(store: SqliteStore) -> None:
    listener = store.signals.listener("events")
    store.deliveries.append([event()])
    listener.close()
    for _ in range(3):
        store.deliveries.append([event()])
    with closing(store.signals.listener("events")) as again:
        store.deliveries.append([event()])
        assert again.wait(5)
