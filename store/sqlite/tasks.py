"""Tasks waiting for an event."""

from __future__ import annotations

from collections.abc import Sequence

from store import storable
from store.protocols import Tasks
from store.records import Task, Term
from store.rows import new_task_row, steps
from store.sqlite.connections import Connection, Connections
from store.sqlite.leadership import deciding


class SqliteTasks(Tasks):
    """Tasks on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def adopt(self, term: Term, tasks: Sequence[Task], now: int) -> list[Task]:
        tasks = list(map(storable.task, tasks))
        fresh = set[str]()
        for step in steps(tasks):
            with deciding(self._connections, term) as db:
                fresh |= _insert_tasks(db, step, "waiting", now)
        return [task for task in tasks if task.id in fresh]

    def drop(self, term: Term, task_ids: Sequence[str], now: int) -> None:
        for step in steps(task_ids):
            with deciding(self._connections, term) as db:
                db.executemany(
                    "UPDATE tasks SET state = 'gone', settled_at = ? WHERE id = ? AND state = 'waiting'",
                    [(now, task_id) for task_id in step],
                )

    def look_again(self, term: Term, task_ids: Sequence[str]) -> None:
        for step in steps(task_ids):
            with deciding(self._connections, term) as db:
                db.executemany(
                    "UPDATE tasks SET state = 'waiting' WHERE id = ? AND state = 'returned'",
                    [(task_id,) for task_id in step],
                )

    def hand_over(self, tasks: Sequence[Task], now: int) -> None:
        for step in steps(list(map(storable.task, tasks))):
            with self._connections.transaction() as db:
                _insert_tasks(db, step, "returned", now)


def _insert_tasks(db: Connection, tasks: Sequence[Task], state: str, now: int) -> set[str]:
    """Inserts tasks that are unknown, or settled and queued again; returns their ids."""
    fresh = set[str]()
    for task in tasks:
        # Conductor queues a task again only to have it worked on again (a rerun): then it waits again. One that is
        # handed over may have been polled before it was settled; a rerun schedules it anew.
        again = "state IN ('completed', 'gone')" if task.found_by == "queue" else "0"
        again = f"{again} AND (excluded.state = 'waiting' OR excluded.scheduled_at > scheduled_at)"
        # A task handed over since the agenda was read is found now: it must not be missed until the next one.
        again += " OR excluded.state = 'waiting' AND state = 'returned'"
        row = db.execute(
            "INSERT INTO tasks (id, workflow_id, workflow, reference_name, matches, scheduled_at,"
            " response_timeout, domain, found_by, state, broken, seen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET state = excluded.state, settled_at = NULL,"
            " scheduled_at = excluded.scheduled_at, matches = excluded.matches, broken = excluded.broken,"
            f" seen_at = excluded.seen_at WHERE {again} RETURNING id",
            new_task_row(task, state, now),
        ).fetchone()
        if row:
            fresh.add(task.id)
    return fresh
