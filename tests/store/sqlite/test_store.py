"""SQLite alone: what happens between two of its statements."""

from __future__ import annotations

import os
import resource
import select
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from store.records import Decision, Result
from store.sqlite import SqliteStore, open_store
from store.sqlite.connections import Connections
from store.sqlite.fifos import opened
from store.sqlite.signals import Listener, SqliteSignals
from testkit.descriptors import is_written_elsewhere
from tests.store.contract.makers import ME, NOW, arrive, decide, start


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(f"sqlite:///{tmp_path}/bridge.db")
    assert store.leadership.elect("me", 10**6)
    yield store
    store.close()


def test_a_target_is_not_claimed_before_its_time_also_when_that_changed_meanwhile(store: SqliteStore) -> None:
    decide(store, arrive(store), start())
    [target] = store.claims.claim("one", NOW, 0, 1)
    found = store._connections.read

    def overtaken(sql: str, parameters: Any = ()) -> Any:
        rows = found(sql, parameters)
        # Between look and claim the first worker's call is broken off, and may still be taking effect.
        store.claims.record_results("one", [Result(target, "pending", "lost", due_at=NOW + 20_000)], NOW)
        return rows

    store._connections.read = overtaken  # type: ignore[method-assign]
    assert store.claims.claim("two", NOW + 10_000, NOW + 5, 1) == []
    store._connections.read = found  # type: ignore[method-assign]
    assert store.claims.claim("two", NOW + 10_000, NOW + 5, 1) == []
    assert store.claims.next_due() == NOW + 20_000
    assert len(store.claims.claim("two", NOW + 20_000, 0, 1)) == 1


def assert_it_looks_whether_anything_was_written(store: SqliteStore, listener: Listener) -> None:
    assert listener._fifo is None
    listener.wait(0)
    arrive(store)
    listener.wait(120)
    assert not listener._has_changed()
    listener.close()


def test_where_there_are_no_fifos_the_decider_looks_whether_anything_was_written(
    store: SqliteStore, tmp_path: Path
) -> None:
    store.signals.path = f"{tmp_path}/no folder/wake"
    listener = store.signals.listener("events")
    assert_it_looks_whether_anything_was_written(store, listener)


def test_of_two_threads_that_find_nobody_listening_neither_writes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = SqliteSignals(Connections(tmp_path))
    reader = opened(Path(signals.path))
    assert reader is not None
    notify = partial(signals.notify, "events")
    notify()
    reader.close()
    assert not is_written_elsewhere(monkeypatch, notify, notify)


def test_answers_wake_every_relay_at_once(store: SqliteStore) -> None:
    listeners = [store.signals.listener("answers") for _ in range(2)]
    numbers = [listener._fifo.number for listener in listeners if listener._fifo is not None]
    store.signals.notify("answers")
    assert sorted(select.select(numbers, [], [], 0)[0]) == sorted(numbers)
    assert len(numbers) == len(listeners)
    for listener in listeners:
        listener.close()


def test_of_relays_that_stopped_or_were_killed_nothing_stays(store: SqliteStore, tmp_path: Path) -> None:
    folder = tmp_path / "bridge.db-relays"
    store.signals.listener("answers").close()
    assert list(folder.iterdir()) == []
    os.mkfifo(folder / "killed")
    store.signals.notify("answers")
    assert list(folder.iterdir()) == []


def test_a_dead_relays_fifo_that_cannot_be_deleted_keeps_no_other_from_waking(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(store.signals.listener("answers")) as listener:
        assert listener._fifo is not None
        for name in ("0", "z"):
            os.mkfifo(tmp_path / "bridge.db-relays" / name)
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", mock.Mock(side_effect=PermissionError))
            store.signals.notify("answers")
        assert select.select([listener._fifo.number], [], [], 0)[0]


def test_a_relay_without_descriptors_left_loses_none_and_leaves_no_fifo(store: SqliteStore, tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))

    before, limits = descriptors(), resource.getrlimit(resource.RLIMIT_NOFILE)
    for left in range(4):
        spare = [os.dup(0) for _ in range(left)]
        taken = []
        with suppress(OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/dev/fd"))) + 1, limits[1]))
            while True:
                taken.append(os.dup(0))
        for number in spare:
            os.close(number)
        try:
            with suppress(OSError), closing(store.signals.listener("answers")):
                pass
        finally:
            for number in taken:
                os.close(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert descriptors() == before
        assert list(tmp_path.glob("bridge.db-relays/.*")) == []


def test_where_there_are_no_fifos_a_relay_looks_whether_anything_was_written(
    store: SqliteStore, tmp_path: Path
) -> None:
    (tmp_path / "bridge.db-relays").write_text("in the way")
    listener = store.signals.listener("answers")
    assert_it_looks_whether_anything_was_written(store, listener)


def test_a_relay_that_nobody_can_wake_looks_whether_anything_was_written(store: SqliteStore, tmp_path: Path) -> None:
    with closing(store.signals.listener("answers")) as listener:
        for fifo in (tmp_path / "bridge.db-relays").iterdir():
            fifo.unlink()
        listener.wait(0)
        arrive(store)
        began = time.monotonic()
        listener.wait(120)
        assert time.monotonic() - began < 60


def test_finished_events_are_counted_as_they_come_and_go(store: SqliteStore) -> None:
    for number in range(6):
        decide(store, arrive(store, f"e{number}"), start(number))
    for outcome, target in zip(
        ("done", "done", "failed", "failed", "done"), store.claims.claim("me", NOW, 0, 5), strict=True
    ):
        store.claims.record_results("me", [Result(target, outcome)], NOW)  # type: ignore[arg-type]
    assert store.queries.event_counts() == {"pending": 1, "delivered": 3, "failed": 2}
    store.decisions.decide(ME, [Decision("e0", "expired", "no"), Decision("e2", "pending", "held")], [], NOW, None, 0)
    assert store.queries.event_counts() == {"pending": 2, "delivered": 2, "expired": 1, "failed": 1}
    store.maintenance.prune(NOW + 1, 99)
    assert store.queries.event_counts() == {"pending": 2}
