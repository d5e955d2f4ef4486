"""SQLite alone: what happens between two of its statements."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from store.records import Result
from store.sql.database import Topic
from store.sqlite import SqliteStore, open_store
from store.sqlite.connections import Connections
from store.sqlite.signals import SqliteListener, SqliteSignals
from tests.support.descriptors import is_written_elsewhere
from tests.support.makers import NOW, arrive, decide, start
from tools.servers import PATIENCE


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    store = open_store(f"sqlite:///{tmp_path}/bridge.db")
    assert store.leadership.elect("me", 10**6)
    return store


def test_a_target_is_not_claimed_before_its_time_also_when_that_changed_meanwhile(
    store: SqliteStore,
) -> None:
    decide(store, arrive(store), start())
    [target] = store.claims.claim("one", NOW, 0, 1)
    found = store._connections.read

    def overtaken(sql: str, parameters: Any = ()) -> Any:
        rows = found(sql, parameters)
        # Between look and claim the first worker's call is broken off, and may still be taking
        # effect.
        store.claims.record_results(
            "one", [Result(target, "pending", "lost", due_at=NOW + 20_000)], NOW
        )
        return rows

    store._connections.read = overtaken  # type: ignore[method-assign]
    assert store.claims.claim("two", NOW + 10_000, NOW + 5, 1) == []
    store._connections.read = found  # type: ignore[method-assign]
    assert store.claims.claim("two", NOW + 10_000, NOW + 5, 1) == []
    assert store.claims.next_due() == NOW + 20_000
    assert len(store.claims.claim("two", NOW + 20_000, 0, 1)) == 1


@pytest.mark.parametrize("topic", ["events", "answers"])
def test_who_listens_without_a_fifo_looks_whether_anything_was_written(
    store: SqliteStore, tmp_path: Path, topic: Topic
) -> None:
    store.signals.path = f"{tmp_path}/no folder/wake"
    listener = store.signals.listener(topic)
    assert isinstance(listener, SqliteListener)
    assert listener._fifo is None
    listener.wait(0)
    arrive(store)
    listener.wait(120)
    assert not listener._has_changed()
    listener.close()


def test_of_two_threads_that_find_nobody_listening_neither_writes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = SqliteSignals(Connections(tmp_path))
    listener = signals.listener("events")
    notify = partial(signals.notify, "events")
    notify()
    listener.close()
    assert not is_written_elsewhere(monkeypatch, notify, notify)


def test_a_listener_that_died_is_no_reason_to_fail(store: SqliteStore) -> None:
    listener = store.signals.listener("events")
    arrive(store, "first")
    listener.close()
    for number in range(3):
        arrive(store, f"e{number}")
    with closing(store.signals.listener("events")) as again:
        arrive(store, "last")
        assert again.wait(PATIENCE)


def test_a_backup_that_fails_leaves_nothing_and_a_complete_one_opens(
    store: SqliteStore, tmp_path: Path
) -> None:
    arrive(store, "e1")
    folder = tmp_path / "backups"
    (folder / "taken").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        store.maintenance.backup(folder / "taken")
    assert list(folder.iterdir()) == [folder / "taken"]
    store.maintenance.backup(folder / "copy.db")
    with closing(open_store(f"sqlite:///{folder}/copy.db", migrate=False)) as copy:
        assert copy.queries.event("e1") == store.queries.event("e1")
