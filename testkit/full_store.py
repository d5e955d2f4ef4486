"""Fills a store with finished events, quickly: to measure what an old store costs.

``python -m testkit.full_store sqlite:///PATH [EVENTS [WAITING TASKS]]``
"""

from __future__ import annotations

import sqlite3
import sys
import time

from events.open import open_store

FINISHED = 2_000_000
WEBHOOKS = 20
_STEP = 100_000

_NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :end)"
# One in a hundred failed, some expired, the others were delivered to a task that has ended.
_EVENTS = f"""{_NUMBERS}
INSERT INTO events (id, webhook, received_at, delivery_id, payload, headers, query, hold_until, status, decided_at,
                    held, settled_at)
SELECT printf('%s-%09d', :run, n), printf('old-%d', n % :webhooks), :began + n, printf('%s-%d', :run, n),
       printf('{{"event":{{"kind":"old","number":%d}},"text":"%s"}}', n, hex(zeroblob(100))),
       '{{}}', '{{}}', :began + n,
       CASE WHEN n % 100 = 0 THEN 'failed' WHEN n % 10 = 0 THEN 'expired' ELSE 'delivered' END,
       :began + n, 0, :began + n
FROM numbers"""
_TARGETS = f"""{_NUMBERS}
INSERT INTO targets (event_id, kind, workflow, workflow_id, task_id, reference_name, state, attempts, due_at,
                     created_at, settled_at)
SELECT printf('%s-%09d', :run, n), 'complete', 'old', printf('w-%s-%d', :run, n), printf('t-%s-%d', :run, n),
       'wait_ref',
       CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'done' END, 1, :began + n, :began + n, :began + n
FROM numbers WHERE n % 10 != 0 OR n % 100 = 0"""
_TASKS = f"""{_NUMBERS}
INSERT INTO tasks (id, workflow_id, workflow, reference_name, matches, scheduled_at, found_by, state, seen_at,
                   settled_at)
SELECT printf('t-%s-%d', :run, n), printf('w-%s-%d', :run, n), 'old', 'wait_ref', '{{"$.event.number":1}}', :began + n,
       'queue', 'completed', :began + n, :began + n
FROM numbers WHERE n % 10 != 0"""

_WAITING = f"""{_NUMBERS}
INSERT INTO tasks (id, workflow_id, workflow, reference_name, matches, scheduled_at, found_by, state, seen_at)
SELECT printf('waits-%s-%d', :run, n), printf('w-%s-%d', :run, n), 'old', 'wait_ref',
       printf('{{"$.event.number":%d}}', n), :began + n, 'queue', 'waiting', :began + n
FROM numbers"""


def fill(url: str, events: int = FINISHED, waiting: int = 0) -> None:
    """Adds so many finished events of the last hour, with their targets and tasks, and tasks that wait.

    The store is SQLite's. Conductor knows nothing of the tasks.
    """
    open_store(url).close()
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-200000")
        now = int(time.time() * 1000)
        values = {"run": format(now, "x"), "webhooks": WEBHOOKS, "began": now - events}
        for first in range(0, events, _STEP):
            part = {**values, "first": first, "end": min(first + _STEP, events)}
            connection.execute("BEGIN IMMEDIATE")
            for statement in (_EVENTS, _TARGETS, _TASKS):
                connection.execute(statement, part)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if waiting:
            connection.execute(_WAITING, {**values, "first": 0, "end": waiting})
    finally:
        connection.close()


if __name__ == "__main__":
    fill(sys.argv[1], *map(int, sys.argv[2:4]))
