"""The stores that the contract suite runs against. A new store adds a backend here."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from store.sql.store import Store
from store.sqlite import SqliteStore, open_store
from store.sqlite.connections import Connection
from tests.support.postgres_backend import PostgresBackend
from tools.servers import PATIENCE

GROWING = ("events", "event_keys", "targets", "tasks", "quarantine", "raw_deliveries", "answers")
"""Tables that hold everything that retention keeps: no statement may read one of them from end to
end."""


class Backend(Protocol):
    """One kind of store, on a database of its own for one test."""

    def open(self) -> Store:
        """The store, as another process sees it."""

    def die(self, store: Store, holder: str) -> None:
        """What the store sees when the process of the worker `holder` is killed."""

    def full_scans(self) -> list[str]:
        """The statements that were executed so far and read a growing table from end to end, with
        their plans.

        Indexes of only the few rows that are live may be read so.
        """

    def differences(self) -> list[str]:
        """Where tables that follow from others differ from what follows from those."""

    def close(self) -> None:
        """Closes everything that was opened."""


class SqliteBackend:
    """SQLite: a file in the test's folder."""

    _LIVE = (
        *("events_pending", "events_undecided", "events_held"),
        *("targets_pending", "targets_claimed"),
        *("tasks_waiting", "tasks_of_workflow", "tasks_broken"),
        "quarantine_due",
    )

    def __init__(self, folder: Path):
        self._path = folder / "bridge.db"
        self._opened: list[SqliteStore] = []
        self._statements: set[str] = set()
        SqliteStore.close(open_store(self._url))  # the schema's own statements don't count

    @property
    def _url(self) -> str:
        return f"sqlite:///{self._path}"

    def open(self) -> SqliteStore:
        store = open_store(self._url)
        store._connections.busy_timeout = (
            PATIENCE  # on a busy machine another thread's commit may take long
        )
        # Every connection says what it executes, with its parameters put in.
        connect = store._connections._open

        def traced(**options: bool) -> Connection:
            db = connect(**options)
            db.conn.set_trace_callback(self._statements.add)
            return db

        store._connections._open = traced  # type: ignore[method-assign, assignment]
        self._opened.append(store)
        return store

    def die(self, store: Store, holder: str) -> None:
        assert isinstance(store, SqliteStore)
        store.leadership._unlock(holder)  # type: ignore[attr-defined]

    def full_scans(self) -> list[str]:
        scans = []
        with sqlite3.connect(self._path) as connection:
            for statement in sorted(self._statements):
                if not re.match(r"(SELECT|WITH|INSERT|UPDATE|DELETE)\b", statement):
                    continue
                plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
                if any(self._is_full(line, statement) for line in plan):
                    scans.append("\n  ".join([statement, *plan]))
        connection.close()
        return scans

    def _is_full(self, line: str, statement: str) -> bool:
        scan = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", line)
        if scan is None or scan[2] in self._LIVE:
            return False
        # It may have another name in the statement.
        table = re.search(rf"\b(\w+) (?:AS )?{scan[1]}\b", statement)
        return scan[1] in GROWING or (table is not None and table[1] in GROWING)

    def differences(self) -> list[str]:
        return []  # they are views

    def close(self) -> None:
        for store in self._opened:
            store.close()


BACKENDS: dict[str, Callable[[pytest.FixtureRequest, Path], Backend]] = {
    "sqlite": lambda _, folder: SqliteBackend(folder),
    "postgres": lambda request, _: PostgresBackend(request.getfixturevalue("postgres")),
}
"""name → what makes one, with other fixtures and a folder for temporary files."""
