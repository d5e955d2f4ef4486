"""PostgreSQL for the contract suite: a database, emptied for each test, and the plans of what was
executed in it."""

from __future__ import annotations

import atexit
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import psycopg

from store.postgres import PostgresStore, open_store
from store.postgres.connections import _SESSION, Connection
from store.postgres.text import take_any_text
from store.sql.database import Parameters, Statement, WaitLimits
from store.sql.store import Store
from tests.store.postgres.live_tables import differences
from tools.servers import PATIENCE
from tools.servers.postgres import Postgres

GROWING = ("events", "ended_events", "event_keys", "targets", "tasks", "quarantine", "answers")
_LIVE = re.compile(
    "unsettled_events.*|targets_(pending|of_webhook|once)|tasks_(waiting|of_workflow|broken)"
)
"""Indexes of only the few rows that are live: they may be read from end to end. Not that of claims:
statements about a few of them come with every call."""


_EXPLAINED: set[bytes] = set()
_FINISHED = 30_000
_FILL = f"""
INSERT INTO webhook_bridge.events
    (id, webhook, received_at, delivery_id, payload, headers, query, hold_until, status, decided_at, settled_at)
    SELECT 'old' || n, 'w' || n % 20, n, 'd' || n, '{{}}', '{{}}', '{{}}', n, 'delivered', n, n
    FROM generate_series(1, {_FINISHED}) AS n;
INSERT INTO webhook_bridge.targets
    (event_id, webhook, kind, workflow, workflow_id, task_id, state, attempts, due_at, created_at, settled_at)
    SELECT 'old' || n, 'w', 'complete', 'f', 'w' || n, 't' || n, 'done', 1, n, n, n
    FROM generate_series(1, {_FINISHED}) AS n;
INSERT INTO webhook_bridge.tasks
    (id, workflow_id, workflow, reference_name, matches, scheduled_at, found_by, state, seen_at, settled_at,
     shown_at, adopted_at, waiting_since)
    SELECT 't' || n, 'w' || n, 'f', 'r', '{{}}', n, 'queue', 'completed', n, n, n, n, n
    FROM generate_series(1, {_FINISHED}) AS n;
INSERT INTO webhook_bridge.tasks
    (id, workflow_id, workflow, reference_name, matches, scheduled_at, found_by, seen_at, shown_at, adopted_at,
     waiting_since, waiter, shape, key, read_at)
    SELECT 'waits' || n, 'w' || n, 'f' || n % 50, 'r', '{{}}', n, 'queue', n, n, n, n, 'w' || n || '/r', n % 20, n,
        CASE WHEN n % 100 = 0 THEN 0 END
    FROM generate_series(1, {_FINISHED}) AS n;
INSERT INTO webhook_bridge.event_keys (shape, key, at, seq, free)
    SELECT n % 20, n, n, n, n % 10 = 0 FROM generate_series(1, {_FINISHED}) AS n;
INSERT INTO webhook_bridge.shapes (id, workflow, paths, since, used_at)
    SELECT n, 'f' || n % 50, '["$.a' || n || '"]', n, n FROM generate_series(1, 20) AS n;
UPDATE webhook_bridge.events SET joinable_until = received_at WHERE seq % 10 = 0;
INSERT INTO webhook_bridge.quarantine (kind, id, reason, since, tries, due_at)
    SELECT CASE WHEN n % 2 = 0 THEN 'task' ELSE 'event' END, 'i' || n, 'r', n, 1, n
    FROM generate_series(1, {_FINISHED}) AS n;
INSERT INTO webhook_bridge.answers (event_id, webhook, output, wait_until, outcome, answered_at)
    SELECT 'old' || n, 'w' || n % 20, '$', n, CASE WHEN n % 2 = 0 THEN 'FAILED' END, CASE WHEN n % 2 = 0 THEN n END
    FROM generate_series(1, {_FINISHED}) AS n;
"""


@lru_cache(maxsize=1)
def _template(server: Postgres) -> str:
    """The name of a database with the bridge's tables, to which nobody is connected."""
    url = server.new_database("template")
    with time_to_connect():
        open_store(url).close()
    return urlsplit(url).path[1:]


def migrated(server: Postgres, label: str = "test") -> str:
    """The URL of a new database with the bridge's tables: to copy them takes an eighth of the time
    of making them."""
    return server.new_database(label, _template(server))


@lru_cache(maxsize=1)
def _grown(server: Postgres) -> psycopg.Connection[Any]:
    """Connected to a database with many finished events, whose statistics are of today."""
    database = psycopg.connect(migrated(server, "grown"), autocommit=True)
    atexit.register(database.close)
    database.execute(_FILL)
    database.execute("VACUUM ANALYZE")
    take_any_text(database)
    # A list of thousands of ids may make it the better choice.
    database.execute("SET enable_seqscan = off")
    return database


class _Shared:
    """A database for one test after the other: to make one takes longer than most tests, to connect
    a tenth of that."""

    def __init__(self, server: Postgres) -> None:
        self.url = migrated(server, "contract")
        self._connection = psycopg.connect(self.url, autocommit=True)
        atexit.register(self._connection.close)
        # Not with TRUNCATE, which makes every table's files anew: that takes the server eight times
        # the processor time.
        statements = self._connection.execute(
            "SELECT format('DELETE FROM %I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname = 'webhook_bridge' AND tablename <> 'store_schema'"
            " UNION ALL SELECT format('ALTER SEQUENCE %I.%I RESTART', schemaname, sequencename) FROM pg_sequences"
            " WHERE schemaname = 'webhook_bridge'"
        ).fetchall()
        self._statements = "; ".join(statement for (statement,) in statements).encode()

    def empty(self) -> None:
        """Cuts whoever is still connected, and leaves of the database only its tables."""
        self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        self._connection.execute(self._statements)


_shared = lru_cache(maxsize=1)(_Shared)


@contextmanager
def all_the_time() -> Iterator[None]:
    """Connections and deliveries have all the time that a busy machine may need: most tests are
    about none of seconds."""
    with mock.patch("store.postgres.deliveries.IMPATIENT", PATIENCE), time_to_connect():
        yield


@contextmanager
def time_to_connect() -> Iterator[None]:
    """Connecting has it: a busy server may need more than two seconds for a session."""
    with mock.patch("store.postgres.address._CONNECT_TIMEOUT", int(PATIENCE)):
        yield


@contextmanager
def patient_stores() -> Iterator[None]:
    """Whoever opens a store meanwhile has all the time that a busy machine may need, for either
    database."""
    with mock.patch("store.sqlite.connections.BUSY_TIMEOUT", PATIENCE), time_to_connect():
        yield


@contextmanager
def time_for_locks() -> Iterator[None]:
    """Whoever waits for a row has it, in each session that begins meanwhile."""
    with mock.patch.dict(_SESSION, lock_timeout=f"{PATIENCE:.0f}s"):
        yield


class Unhurried(WaitLimits):
    """Every step has all the time that a busy machine may need."""

    def until(self, seconds: float, latest: float = float("inf")) -> float:
        return super().until(max(seconds, PATIENCE), latest)


class PostgresBackend:
    """A database without rows, and every statement that the stores on it executed."""

    def __init__(self, server: Postgres, url: str | None = None):
        """`url` is a database of its own; without it, it is the one that tests have one after the
        other."""
        self._patches = ExitStack()
        self._patches.enter_context(all_the_time())
        self._patches.enter_context(time_for_locks())
        self._server = server
        if url is None:
            _shared(server).empty()
        self.url = url or _shared(server).url
        self._opened: list[PostgresStore] = []
        self.statements: dict[bytes, Parameters] = {}
        self.settings: dict[bytes, bytes] = {}
        """Statement → the one before it in the same message that changes settings; empty if there
        is none."""

    def open(self) -> PostgresStore:
        """The store, as another process sees it."""
        store = open_store(self.url)
        store._connections.wait_limits = Unhurried()
        connect = store._connections.connect

        def watched() -> Connection:
            connection = connect()
            run, together = connection.run, connection.fetch_together

            def seen(statement: str, parameters: Parameters = ()) -> Any:
                self.statements[connection.sql(statement)] = parameters
                return run(statement, parameters)

            def all_seen(statements: Sequence[Statement]) -> Any:
                setting = b""
                for statement, parameters in statements:
                    if b"set_config" in (text := connection.sql(statement)):
                        setting = text
                    else:
                        self.statements[text] = parameters
                        self.settings[text] = setting
                return together(statements)

            connection.run = seen  # type: ignore[method-assign]
            connection.fetch_together = all_seen  # type: ignore[method-assign]
            return connection

        store._connections.connect = watched  # type: ignore[method-assign]
        self._opened.append(store)
        return store

    def die(self, store: Store, holder: str) -> None:
        """Nothing tells the database that a process was killed: its lead runs out."""
        with psycopg.connect(self.url) as database:
            database.execute(
                "UPDATE webhook_bridge.leads SET until = extract(epoch FROM clock_timestamp()) * 1000 + 500"
                " WHERE holder = %s",
                (holder,),
            )

    def full_scans(self) -> list[str]:
        """The statements that read a growing table from end to end, with their plans: on tables
        that have grown."""
        new = {text: values for text, values in self.statements.items() if text not in _EXPLAINED}
        if not new:
            return []
        scans = []
        database = _grown(self._server)
        with database.transaction(force_rollback=True):
            for statement, parameters in new.items():
                if re.match(rb"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", statement):
                    plan = database.execute(
                        b"EXPLAIN (FORMAT JSON) " + statement, parameters or None
                    ).fetchone()
                    assert plan is not None
                    if any(_is_full(node, above) for node, above in nodes(plan[0][0]["Plan"])):
                        text = database.execute(
                            b"EXPLAIN " + statement, parameters or None
                        ).fetchall()
                        scans.append("\n  ".join([statement.decode(), *(line for (line,) in text)]))
                _EXPLAINED.add(statement)
        return scans

    def differences(self) -> list[str]:
        """Where the tables of what is live differ from what follows from the record."""
        return differences(self.url)

    def close(self) -> None:
        """Closes everything that was opened."""
        for store in self._opened:
            store.close()
        self._patches.close()


def nodes(plan: dict[str, Any], above: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """Each node of the plan, and the kind of the one above."""
    yield plan, above
    for part in plan.get("Plans", ()):
        yield from nodes(part, plan["Node Type"])


def _is_full(node: dict[str, Any], above: str) -> bool:
    """Whether it reads all of a growing table: nothing bounds what it reads of an index, and no
    limit ends it."""
    kind, index = node["Node Type"], node.get("Index Name", "")
    if kind == "Bitmap Index Scan":
        return "Index Cond" not in node and index.startswith(GROWING) and not _LIVE.fullmatch(index)
    if node.get("Relation Name") not in GROWING or kind in ("ModifyTable", "Bitmap Heap Scan"):
        return False
    return kind == "Seq Scan" or (
        "Index Cond" not in node and not _LIVE.fullmatch(index) and above != "Limit"
    )
