"""The database file: how it is opened, made and migrated, and what becomes of a write that can't be
had."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from unittest import mock

import pytest

from store.errors import StoreRefused, StoreUnavailable
from store.records import NewEvent, new_event_id
from store.sql.event_search import EventFilter
from store.sqlite import SqliteStore, open_store
from store.sqlite.connections import Connection, Connections
from tools.servers import PATIENCE


def event(payload: str = "{}", delivery_id: str | None = None) -> NewEvent:
    return NewEvent(new_event_id(), "w", 1, payload, {}, {}, 1, delivery_id)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "bridge.db"


@pytest.fixture
def store(path: Path) -> SqliteStore:
    return open_store(f"sqlite:///{path}")


def stored(path: Path) -> list[str]:
    """The ids of the events, as another program reads them."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("SELECT id FROM events ORDER BY seq")]


@contextmanager
def writers_say(pragma: str) -> Iterator[None]:
    """Connections that are opened for writing begin with this."""
    open_writer = Connections._open_writer

    def opened(self: Connections) -> Connection:
        db = open_writer(self)
        db.execute(pragma)
        return db

    with mock.patch.object(Connections, "_open_writer", opened):
        yield


# --- opening ---


def test_every_connection_commits_to_the_disk(
    path: Path, store: SqliteStore, open_durably: Callable[..., Connection]
) -> None:
    opened: list[Connection] = []

    def remember(self: Connections, **given: bool) -> Connection:
        opened.append(open_durably(self, **given))
        return opened[-1]

    with mock.patch.object(Connections, "_open", remember):
        store.deliveries.append([event()])
        store.queries.events(EventFilter())
        thread = threading.Thread(target=store.queries.events, args=(EventFilter(),))
        thread.start()
        thread.join()
        pragmas = [
            (
                db.execute("PRAGMA synchronous").fetchone()[0],
                db.execute("PRAGMA journal_mode").fetchone()[0],
            )
            for db in opened
            if is_open(db)
        ]
    assert len(opened) >= 2
    assert set(pragmas) == {(2, "wal")}, "synchronous=FULL, and WAL"


def is_open(db: Connection) -> bool:
    with suppress(sqlite3.ProgrammingError):
        db.execute("SELECT 1")
        return True
    return False


def test_a_missing_folder_is_made_and_a_missing_database_only_when_migrating(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no database at"):
        open_store(f"sqlite:///{path}", migrate=False)
    assert not path.exists()
    open_store(f"sqlite:///{path}")
    open_store(f"sqlite:///{path}", migrate=False)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="can't be created"):
        open_store(f"sqlite:///{tmp_path}/file/bridge.db")


def test_a_file_that_is_no_database_is_said_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    path.write_bytes(b"something else entirely" * 1000)
    for migrate in (True, False):
        with pytest.raises(StoreRefused, match=f"^{path} isn't an SQLite database; "):
            open_store(f"sqlite:///{path}", migrate=migrate)
    assert path.read_bytes() == b"something else entirely" * 1000


@pytest.mark.parametrize("table", ["workflow", "events"])
def test_another_programs_database_is_said_and_left_alone(tmp_path: Path, table: str) -> None:
    path = tmp_path / "conductor.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"CREATE TABLE {table} (id)")
    before = path.read_bytes()
    for migrate in (True, False):
        with pytest.raises(
            StoreRefused, match=f"^the database at {path} is another program's: .*such as {table}"
        ):
            open_store(f"sqlite:///{path}", migrate=migrate)
    assert path.read_bytes() == before


def test_a_folder_in_place_of_a_file_is_said(tmp_path: Path) -> None:
    for migrate in (True, False):
        with pytest.raises(StoreRefused, match=f"^{tmp_path} is a folder; "):
            open_store(f"sqlite:///{tmp_path}", migrate=migrate)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    with closing(socket.socket(socket.AF_UNIX)) as there:
        there.bind(str(path))  # the superuser can open any other file
        with pytest.raises(StoreUnavailable, match=f"^{path} can't be opened; "):
            open_store(f"sqlite:///{path}", migrate=False)


def test_a_path_with_odd_characters_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a b?c=d#e%20.db"
    store = open_store(f"sqlite:///{path}")
    store.deliveries.append([event()])
    store._connections.close()
    assert path.exists()
    assert len(stored(path)) == 1


def test_a_file_system_that_cannot_do_wal_is_no_place_for_the_store(path: Path) -> None:
    with (
        mock.patch.object(Connection, "journal_mode", "delete"),
        pytest.raises(StoreUnavailable, match="WAL"),
    ):
        open_store(f"sqlite:///{path}")


def test_a_database_that_is_being_made_by_another_process_is_waited_for(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waits: list[float] = []

        def block(seconds: float) -> None:
            waits.append(seconds)
            other.rollback()

        Connections(path, mock.Mock(block=block)).migrate()
    assert len(waits) == 1
    assert stored(path) == []


# --- forks and threads ---


def test_a_child_process_opens_connections_of_its_own(path: Path, store: SqliteStore) -> None:
    store.deliveries.append([event()])
    store.queries.events(EventFilter())
    child = multiprocessing.get_context("fork").Process(target=_in_child, args=(store,))
    child.start()
    child.join(PATIENCE)
    assert child.exitcode == 0
    store.deliveries.append([event()])
    assert len(stored(path)) == 3


def _in_child(store: SqliteStore) -> None:
    assert store._connections._writer is None
    assert len(store.queries.events(EventFilter())) == 1
    store.deliveries.append([event()])
    os._exit(0)


# --- what can't be had ---


def test_a_database_that_stays_locked_is_unavailable_after_the_busy_time_out(
    path: Path, store: SqliteStore
) -> None:
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        mock.patch.object(store._connections, "busy_timeout", 0.2),
    ):
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="locked"):
            store.deliveries.append([event()])
        with pytest.raises(StoreUnavailable, match="locked"):
            store.deliveries.check_writable()
        assert time.monotonic() - began >= 0.4
        assert store.queries.events(EventFilter()) == [], "what is there can be read meanwhile"
        other.execute("ROLLBACK")
    store.deliveries.append([event()])
    assert len(stored(path)) == 1


def test_whoever_has_less_time_waits_no_longer_for_the_database(
    path: Path, store: SqliteStore
) -> None:
    """Behind another process, and behind others of this one that wait for it."""
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        mock.patch.object(store._connections, "busy_timeout", 3 * PATIENCE),
    ):
        other.execute("BEGIN IMMEDIATE")
        waits = threading.Thread(target=lambda: suppressed(store.deliveries.check_writable))
        waits.start()
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                store.deliveries.append([event()], began + 0.3)
            assert time.monotonic() - began < PATIENCE
        other.execute("ROLLBACK")
        waits.join(PATIENCE)
    store.deliveries.append([event()])


def suppressed(call: Callable[[], object]) -> None:
    with suppress(StoreUnavailable):
        call()


def test_a_full_database_takes_all_of_a_delivery_or_nothing(path: Path, store: SqliteStore) -> None:
    store.deliveries.append([event()])
    before = stored(path)
    large = [event('{"a": "' + "x" * 20_000 + '"}') for _ in range(20)]
    with closing(sqlite3.connect(path)) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    with writers_say(f"PRAGMA max_page_count={pages + 20}"):
        store._connections.close()
        with pytest.raises(StoreUnavailable, match="full"):
            store.deliveries.append(large)
        assert stored(path) == before
        store.deliveries.append([event()])
    store._connections.close()
    store.deliveries.append(large)
    assert len(stored(path)) == 22


def test_a_database_that_cannot_be_written_can_be_read(path: Path, store: SqliteStore) -> None:
    [committed] = store.deliveries.append([event()])
    store._connections.close()
    # As root no file is read-only; SQLite says the same of both.
    with writers_say("PRAGMA query_only=1"):
        with pytest.raises(StoreUnavailable, match="readonly"):
            store.deliveries.append([event()])
        with pytest.raises(StoreUnavailable, match="readonly"):
            store.deliveries.check_writable()
    assert [found.id for found in store.queries.events(EventFilter())] == [committed.event_id]
