"""What PostgreSQL reads doesn't grow with what has ended: counted in rows, with statistics that
mislead its planner.

So a plan that looks for what is live among all rows seems cheap, and reads what has ended too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from store.postgres import PostgresStore, open_store
from store.postgres.low_water_marks import IN_ORDER
from store.postgres.text import take_any_text
from tests.support.postgres_backend import PostgresBackend, migrated, nodes
from tools.servers.postgres import Postgres

_ENDED = 30_000
_LIVE = 2_000
_MANY = 20_000
_BACKLOG = f"""
SET search_path = webhook_bridge;
INSERT INTO events (id, webhook, received_at, payload, headers, query, hold_until)
    SELECT 'new' || n, 'w' || n % 5, n, '{{}}', '{{}}', '{{}}', n FROM generate_series(1, {_LIVE}) AS n;
INSERT INTO targets (event_id, webhook, kind, workflow, state, due_at, created_at)
    SELECT 'old' || n, 'w' || n % 5, 'start', 'f', 'pending', n, n FROM generate_series(1, {_LIVE}) AS n;
"""
_CALLED = f"""
INSERT INTO webhook_bridge.targets (event_id, webhook, kind, workflow, state, due_at, created_at, settled_at)
    SELECT 'old' || n, 'w' || n % 5, 'start', 'f', 'done', n, n, n FROM generate_series(1, {_ENDED}) AS n
"""
_CLAIMED = 16
_DUE = f"""
INSERT INTO webhook_bridge.targets (event_id, webhook, kind, workflow, state, due_at, created_at)
    SELECT 'new' || n, 'w' || n * 5 / {_MANY}, 'start', 'f', 'pending', n, n FROM generate_series(1, {_MANY}) AS n
"""
_OLD = f"""
SET search_path = webhook_bridge;
INSERT INTO events (id, webhook, received_at, payload, headers, query, hold_until, status, decided_at, settled_at)
    SELECT 'old' || n, 'w', n, '{{}}', '{{}}', '{{}}', n, 'delivered', n, n FROM generate_series(1, {_ENDED}) AS n;
INSERT INTO tasks (id, workflow_id, workflow, reference_name, matches, scheduled_at, found_by, state, seen_at,
                   settled_at, shown_at, adopted_at, waiting_since)
    SELECT 't' || n, 'w' || n, 'f', 'r', '{{}}', n, 'queue', 'completed', n, n, n, n, n FROM generate_series(1, {_ENDED}) AS n;
"""


@contextmanager
def filled(
    postgres: Postgres, name: str, *statements: str, without_vacuum: Sequence[str] = ()
) -> Iterator[PostgresBackend]:
    """A database of its own, filled by these statements; autovacuum leaves the tables of
    `without_vacuum` alone."""
    backend = PostgresBackend(postgres, migrated(postgres, name))
    try:
        with psycopg.connect(backend.url, autocommit=True) as database:
            for table in without_vacuum:
                database.execute(
                    f"ALTER TABLE webhook_bridge.{table} SET (autovacuum_enabled = off)".encode()
                )
            for statement in statements:
                database.execute(statement.encode())
        yield backend
    finally:
        backend.close()
        postgres.drop_database(backend.url)


def rows_read(backend: PostgresBackend, action: Callable[[], object]) -> dict[str, int]:
    """Statement → rows that it looks at, of those that the action executes."""
    backend.statements.clear()
    action()
    read = {}
    with psycopg.connect(backend.url) as database:
        take_any_text(database)
        database.execute("SET enable_seqscan = off")
        for statement, parameters in backend.statements.items():
            if re.match(rb"\s*(SELECT|WITH)\b", statement):
                explained = b"EXPLAIN (ANALYZE, FORMAT JSON) " + statement
                plan = database.execute(explained, parameters or None).fetchone()
                assert plan is not None
                read[statement.decode()] = sum(map(_looked_at, nodes(plan[0][0]["Plan"])))
        database.rollback()
    assert read
    return read


def pages_read(
    backend: PostgresBackend, action: Callable[[], object], first: str = ""
) -> dict[str, int]:
    """Statement → pages that it touches when it is executed once more, of those that select rows by
    their time.

    `first` comes first in the transaction.
    """
    backend.statements.clear()
    action()
    read = {}
    with psycopg.connect(backend.url) as database:
        take_any_text(database)
        for statement, parameters in backend.statements.items():
            if re.search(rb"ORDER BY.*_at|jumps", statement):
                if setting := backend.settings.get(statement) or first.encode():
                    database.execute(setting)
                explained = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement
                plan = database.execute(explained, parameters or None).fetchone()
                assert plan is not None
                read[statement.decode()] = (
                    plan[0][0]["Plan"]["Shared Hit Blocks"]
                    + plan[0][0]["Plan"]["Shared Read Blocks"]
                )
                database.rollback()
    assert read
    return read


def _looked_at(node: tuple[dict[str, Any], str]) -> int:
    """The rows that a node of the plan reads from a table or an index."""
    found = node[0]
    is_scan = "Relation Name" in found and found["Node Type"] != "ModifyTable"
    rows = found["Actual Rows"] + found.get("Rows Removed by Filter", 0)
    return int(rows * found["Actual Loops"]) if is_scan else 0


def test_what_is_overdue_is_found_without_the_rest_of_a_backlog_that_the_planner_does_not_know(
    postgres: Postgres,
) -> None:
    tables = ("events", "unsettled_events", "targets", "quarantine")
    with filled(postgres, "backlog", _BACKLOG, without_vacuum=tables) as backend:
        store = backend.open()
        assert len(store.queries.overdue(_LIVE + 1)) == 2 * 5
        read = rows_read(backend, lambda: store.queries.overdue(_LIVE + 1))
        assert max(read.values()) < 100, read
        assert store.queries.oldest_pending() == 1


def test_a_step_of_retention_passes_over_nothing_that_earlier_steps_have_deleted(
    postgres: Postgres,
) -> None:
    tables = ("events", "ended_events", "targets", "tasks")
    with filled(postgres, "retention", _OLD, without_vacuum=tables) as backend:
        store = backend.open()

        def step() -> dict[str, int]:
            return pages_read(backend, lambda: store.maintenance.prune(_ENDED, 9), IN_ORDER[0])

        pages = [step()]
        for _ in range(10):
            store.maintenance.prune(_ENDED, 1000)
        pages.append(step())
        for statement, read in pages[1].items():
            assert read <= pages[0][statement] + 9 < 100, statement


def test_claims_read_few_of_those_that_are_due_whatever_the_planner_expects(
    postgres: Postgres,
) -> None:
    # The statistics are of a time at which nothing was due, as those of a large table may be.
    statements = (_CALLED, "VACUUM ANALYZE webhook_bridge.targets", _DUE)
    with filled(postgres, "claims", *statements, without_vacuum=["targets"]) as backend:
        store = backend.open()
        pages = pages_read(backend, lambda: claim(store, _LIVE))
        assert any("FOR UPDATE" in statement for statement in pages)
        assert any("jumps" in statement for statement in pages)
        assert max(pages.values()) < 20 * _CLAIMED, pages


def claim(store: PostgresStore, now: int) -> None:
    """What a worker does around a claim."""
    assert len(store.claims.claim("w", now, 0, _CLAIMED)) == _CLAIMED
    assert store.claims.next_due() is not None


def test_counts_are_summed_up_whoever_finishes_events_and_however_often(migrated_url: str) -> None:
    store = open_store(migrated_url)
    with psycopg.connect(migrated_url, autocommit=True) as database:
        for _ in range(2):
            database.execute(
                "INSERT INTO webhook_bridge.finished_events SELECT 'delivered', 1 FROM generate_series(1, 300)"
            )
            for _ in range(5):
                store.maintenance.run()
            found = database.execute(
                "SELECT count(*) FROM webhook_bridge.finished_events"
            ).fetchone()
            assert found is not None
            assert found[0] <= 200
    assert store.queries.event_counts() == {"delivered": 600}
    store.close()
