"""Events of an older version get their families when the database is migrated."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlite_utils import Database
from structlog.testing import capture_logs

from store.open import open_store
from store.sql.migrations import STORIES
from store.sqlite.connections import Connections
from store.sqlite.migrations import migrations
from testkit.postgres import Postgres
from tests.store.postgres_backend import migrated_up_to

ROWS = (
    ("a", None, "failed"),
    ("a1", "a", "failed"),
    ("a11", "a1", "delivered"),
    ("b", None, "expired"),
    ("b1", "b", "expired"),
    ("c1", "pruned", "failed"),
    ("c11", "c1", "delivered"),
    ("d", None, "delivered"),
    ("d1", "d", "delivered"),
)
"""id, the event that it is a replay of, status."""
_INSERT = (
    "INSERT INTO events (id, webhook, received_at, payload, headers, query, hold_until, replay_of, status, decided_at)"
    " VALUES ({0}, 'w', 1, '{{}}', '{{}}', '{{}}', 1, {0}, {0}, 1)"
)


def old_sqlite(folder: Path, _: Postgres) -> str:
    database = Database(folder / "old.db")
    migrations.apply(database, stop_before="stories")
    for row in ROWS:
        database.execute(_INSERT.format("?"), row)
    database.conn.commit()
    database.conn.close()
    return f"sqlite:///{folder}/old.db"


def old_postgres(_: Path, postgres: Postgres) -> str:
    url = migrated_up_to(postgres, "stories")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = webhook_bridge")
        for row in ROWS:
            connection.execute(_INSERT.format("%s").encode(), row)
    return url


@pytest.mark.parametrize("make", [old_sqlite, old_postgres])
def test_replays_learn_their_origin_and_what_they_delivered_is_resolved(
    make: Callable[[Path, Postgres], str], tmp_path: Path, postgres: Postgres
) -> None:
    url = make(tmp_path, postgres)
    with capture_logs() as logs:
        store = open_store(url)
    assert [one["event"] for one in logs] == ["migrating the database"]
    found = store.queries.listed([id_ for id_, _, _ in ROWS])
    store.close()
    assert {id_: (event.origin, event.resolved_by) for id_, event in found.items()} == {
        "a": (None, "a11"),
        "a1": ("a", "a11"),
        "a11": ("a", None),
        "b": (None, None),
        "b1": ("b", None),
        "c1": ("pruned", "c11"),
        "c11": ("pruned", None),
        "d": (None, None),
        "d1": ("d", None),
    }


def test_the_replays_are_not_looked_through_for_each_event(tmp_path: Path, postgres: Postgres) -> None:
    """With many of both that takes hours, in which nobody can use the table."""
    with psycopg.connect(old_postgres(tmp_path, postgres)) as connection:
        for statement in STORIES.replace("bridge.", "webhook_bridge.").split(";\n"):
            if "UPDATE " in statement:
                plan = connection.execute(f"EXPLAIN {statement}".encode()).fetchall()
                assert "SubPlan" not in str(plan), statement
            if statement.strip():
                connection.execute(statement.encode())


def test_a_process_waits_for_another_that_migrates_for_longer_than_for_a_write(
    tmp_path: Path, postgres: Postgres
) -> None:
    path = Path(old_sqlite(tmp_path, postgres).removeprefix("sqlite:///"))
    connections = Connections(path)
    connections.busy_timeout = 0.05
    held = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    held.execute("PRAGMA journal_mode=WAL")
    held.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.5, held.execute, ["COMMIT"])
    end.start()
    connections.migrate()
    connections.check_version()
    end.join()
    held.close()
