"""Quickly fills a store with finished events, to measure what an old store costs.

``python -m tools.bench.full_store sqlite:///PATH [EVENTS [WAITING TASKS]]``, or ``postgresql://…``
"""

from __future__ import annotations

import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

from store.open import open_store

FINISHED = 2_000_000
WEBHOOKS = 20
_STEP = 100_000
_TEXT = "00" * 100

Execute = Callable[[str, Mapping[str, object]], object]

# Both databases understand these.
_NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :end)"
# One in a hundred failed, some expired, the others were delivered to a task that has ended.
_STATUS = "CASE WHEN n % 100 = 0 THEN 'failed' WHEN n % 10 = 0 THEN 'expired' ELSE 'delivered' END"
_EVENTS = f"""{_NUMBERS}
INSERT INTO events (id, webhook, received_at, delivery_id, payload, headers, query, hold_until, status, decided_at,
                    held, settled_at)
SELECT :run || '-' || (1000000000 + n), 'old-' || (n % :webhooks), :began + n, :run || '-' || n,
       '{{"event":{{"kind":"old","number":' || n || '}},"text":"{_TEXT}"}}', '{{}}', '{{}}', :began + n,
       {_STATUS}, :began + n, 0, :began + n
FROM numbers"""
_TARGETS = f"""{_NUMBERS}
INSERT INTO targets (event_id, webhook, kind, workflow, workflow_id, task_id, reference_name, state, attempts, due_at,
                     created_at, settled_at)
SELECT :run || '-' || (1000000000 + n), 'old-' || (n % :webhooks), 'complete', 'old', 'w-' || :run || '-' || n,
       't-' || :run || '-' || n, 'wait_ref',
       CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'done' END, 1, :began + n, :began + n, :began + n
FROM numbers WHERE n % 10 != 0 OR n % 100 = 0"""
_TASKS = f"""{_NUMBERS}
INSERT INTO tasks (id, workflow_id, workflow, reference_name, matches, scheduled_at, found_by, state, seen_at,
                   settled_at)
SELECT 't-' || :run || '-' || n, 'w-' || :run || '-' || n, 'old', 'wait_ref', '{{"$.event.number":1}}', :began + n,
       'queue', 'completed', :began + n, :began + n
FROM numbers WHERE n % 10 != 0"""
_WAITING = f"""{_NUMBERS}
INSERT INTO tasks (id, workflow_id, workflow, reference_name, matches, scheduled_at, found_by, state, seen_at)
SELECT 'waits-' || :run || '-' || n, 'w-' || :run || '-' || n, 'old', 'wait_ref',
       '{{"$.event.number":' || n || '}}', :began + n, 'queue', 'waiting', :began + n
FROM numbers"""
# PostgreSQL's store keeps these counts itself; SQLite's has triggers for them.
_COUNTS = f"{_NUMBERS} INSERT INTO finished_events (status, number) SELECT {_STATUS}, count(*) FROM numbers GROUP BY 1"


def fill(url: str, events: int = FINISHED, waiting: int = 0) -> None:
    """Adds this many finished events from the last hours, with their targets and tasks, and waiting
    tasks.

    Conductor knows nothing of the tasks.
    """
    open_store(url).close()
    now = int(time.time() * 1000)
    values = {"run": format(now, "x"), "webhooks": WEBHOOKS, "began": now - events}
    is_sqlite = url.startswith("sqlite:")
    with (_sqlite if is_sqlite else _postgres)(url) as execute:
        for first in range(0, events, _STEP):
            part = {**values, "first": first, "end": min(first + _STEP, events)}
            execute("BEGIN", {})
            for statement in (_EVENTS, _TARGETS, _TASKS, *([] if is_sqlite else [_COUNTS])):
                execute(statement, part)
            execute("COMMIT", {})
            if is_sqlite:
                execute("PRAGMA wal_checkpoint(TRUNCATE)", {})
        if waiting:
            execute(_WAITING, {**values, "first": 0, "end": waiting})
        if not is_sqlite:
            execute("VACUUM ANALYZE", {})


@contextmanager
def _sqlite(url: str) -> Iterator[Execute]:
    with closing(
        sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60, isolation_level=None)
    ) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-200000")
        yield connection.execute


@contextmanager
def _postgres(url: str) -> Iterator[Execute]:
    import psycopg

    from store.postgres.address import Address

    address = Address.parse(url)
    with psycopg.connect(
        **address.parameters,  # type: ignore[arg-type]
        autocommit=True,
        cursor_factory=psycopg.ClientCursor,
    ) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(f"SET search_path = {address.schema}".encode())
        yield lambda statement, values: connection.execute(
            re.sub(r":([a-z]+)", r"%(\1)s", statement.replace("%", "%%")).encode(), values or None
        )


if __name__ == "__main__":
    fill(sys.argv[1], *map(int, sys.argv[2:4]))
