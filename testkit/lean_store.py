"""Fills a store on PostgreSQL with very many small finished events: a hundred million in 45 GB.

``python -m testkit.lean_store postgresql://… EVENTS [WAITING TASKS]``. The store must be empty, and nobody else may use
it. The events arrived evenly during the last thirty days, for twenty webhooks. Each has a payload of some ten bytes and
a random delivery id; one in nine has a target, one in a hundred a task. Tables are filled without indexes and triggers,
which come afterwards, and their pages are full.

A server with ``wal_level = minimal`` writes little of that to its log; ``maintenance_work_mem`` makes sorting fast.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import psycopg

from store.open import open_store
from store.postgres.address import Address
from testkit.full_store import WEBHOOKS

_DAYS = 30
_STATUS = "CASE WHEN n % 100 = 0 THEN 'failed' WHEN n % 10 = 0 THEN 'expired' ELSE 'delivered' END"
_AT = "%(began)s + n * %(span)s / %(events)s"
_TIME = f"lpad(to_hex({_AT}), 12, '0')"
_ID = f"left({_TIME}, 8) || '-' || right({_TIME}, 4) || '-7000-a000-' || lpad(to_hex(n), 12, '0')"
_WEBHOOK = f"'old-' || n / 100 % {WEBHOOKS}"
# As a table it would be written to a file first.
_FROM = "FROM (SELECT generate_series(1, %(events)s::bigint) AS n) AS numbers"
_HAS_TARGET = "n % 10 = 1 OR n % 100 = 0"
_HAS_TASK = "n % 100 = 1"

_ROWS = {
    "events": f"""
    INSERT INTO events (seq, id, webhook, received_at, delivery_id, payload, headers, query, hold_until, status,
                        decided_at, held, settled_at)
    SELECT n, {_ID}, {_WEBHOOK}, {_AT}, left(md5(n::text), 20), '{{"n":' || n || '}}', '{{}}', '{{}}', {_AT}, {_STATUS},
           {_AT}, 0, {_AT} + 1000 {_FROM}""",
    "ended_events": f"""
    INSERT INTO ended_events (seq, settled_at, webhook, status)
    SELECT n, {_AT} + 1000, {_WEBHOOK}, {_STATUS} {_FROM}""",
    "targets": f"""
    INSERT INTO targets (event_id, webhook, kind, workflow, workflow_id, task_id, reference_name, state, attempts,
                         due_at, created_at, settled_at)
    SELECT {_ID}, {_WEBHOOK}, CASE WHEN {_HAS_TASK} THEN 'complete' ELSE 'start' END, 'old', 'w-' || n,
           CASE WHEN {_HAS_TASK} THEN 't-' || n END, 'wait_ref', CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'done' END, 1,
           {_AT}, {_AT}, {_AT} + 1000 {_FROM} WHERE {_HAS_TARGET}""",
    "tasks": f"""
    INSERT INTO tasks (id, workflow_id, workflow, reference_name, matches, scheduled_at, found_by, state, seen_at,
                       settled_at)
    SELECT 't-' || n, 'w-' || n, 'old', 'wait_ref', '{{"$.n":1}}', {_AT}, 'queue', 'completed', {_AT}, {_AT} + 1000
    {_FROM} WHERE {_HAS_TASK}""",
}
"""Table → the statement that fills it."""
_WAITING = """
INSERT INTO tasks (id, workflow_id, workflow, reference_name, matches, scheduled_at, found_by, state, seen_at)
SELECT 'waits-' || n, 'waits-' || n, 'waiting-' || n % 100, 'wait_ref', '{"$.n":' || n || '}', %(began)s, 'queue',
       'waiting', %(began)s FROM generate_series(1, %(waiting)s::bigint) AS n
"""
_COUNTS = """
INSERT INTO finished_events (status, number) VALUES ('failed', %(events)s / 100),
    ('expired', %(events)s / 10 - %(events)s / 100), ('delivered', %(events)s - %(events)s / 10)
"""
_CONSTRAINTS = """
SELECT 'ALTER TABLE ' || conrelid::regclass || ' DROP CONSTRAINT ' || quote_ident(conname),
       'ALTER TABLE ' || conrelid::regclass || ' ADD CONSTRAINT ' || quote_ident(conname) || ' '
       || pg_get_constraintdef(oid)
FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u') ORDER BY conname
"""
_INDEXES = """
SELECT 'DROP INDEX ' || indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index i
WHERE indrelid = %s::regclass AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
ORDER BY indexrelid::regclass::text
"""
_FILLFACTOR = """
SELECT option_value FROM pg_class, pg_options_to_table(reloptions)
WHERE oid = %s::regclass AND option_name = 'fillfactor'
"""


def fill(url: str, events: int, waiting: int = 0) -> None:
    """Adds this many finished events, and waiting tasks. Conductor knows nothing of the tasks."""
    open_store(url).close()
    span = _DAYS * 86_400_000
    values = {"events": events, "waiting": waiting, "span": span, "began": int(time.time() * 1000) - span}
    address = Address.parse(url)
    with psycopg.connect(**address.parameters, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:  # type: ignore[arg-type]

        def execute(statement: str) -> None:
            began = time.monotonic()
            connection.execute(statement.encode(), values if "%(" in statement else None)
            print(f"{time.monotonic() - began:8.1f} s  {' '.join(statement.split())[:100]}", flush=True)

        execute(f"SET search_path = {address.schema}")
        execute("SET statement_timeout = 0")
        for table, fills in _ROWS.items():
            _fill_table(connection, execute, table, fills)
        execute("SELECT setval(pg_get_serial_sequence('events', 'seq'), %(events)s)")
        execute(_COUNTS)
        execute(_WAITING.replace(" % ", " %% "))
        execute("VACUUM ANALYZE")


def _fill_table(
    connection: psycopg.Connection[tuple[str, ...]], execute: Callable[[str], None], table: str, fills: str
) -> None:
    # Only what is written to a table of the same transaction can do without the log.
    with connection.transaction():
        made_again = []
        for find in (_CONSTRAINTS, _INDEXES):
            for drop, make in connection.execute(find, (table,)).fetchall():
                execute(drop)
                made_again.append(make)
        fillfactor = connection.execute(_FILLFACTOR, (table,)).fetchone()
        execute(f"ALTER TABLE {table} SET (fillfactor = 100)")
        execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        execute(f"TRUNCATE {table}")
        execute(fills.replace(" % ", " %% "))
        execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        execute(
            f"ALTER TABLE {table} " + (f"SET (fillfactor = {fillfactor[0]})" if fillfactor else "RESET (fillfactor)")
        )
    execute(f"VACUUM (FREEZE) {table}")
    for make in made_again:
        execute(make)


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
