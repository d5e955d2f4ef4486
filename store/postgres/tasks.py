"""Tasks waiting for an event."""

from __future__ import annotations

from collections.abc import Sequence

from store import rows, storable
from store.postgres.connections import Connection, Connections
from store.postgres.leadership import deciding
from store.postgres.signals import PostgresSignals
from store.postgres.targets import columns
from store.protocols import Tasks
from store.records import Task, Term

_NEW_TASK = f"{rows.TASK}, seen_at"
_TASK_ARRAYS = (
    "%b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::int[], %b::text[], %b::text[],"
    " %b::text[], %b::text[], %b::bigint[]"
)


class PostgresTasks(Tasks):
    """Tasks on PostgreSQL."""

    def __init__(self, connections: Connections, signals: PostgresSignals):
        self._connections = connections
        self._signals = signals

    def adopt(self, term: Term, tasks: Sequence[Task], now: int) -> list[Task]:
        tasks = list(map(storable.task, tasks))
        fresh = set[str]()
        for step in rows.steps(tasks):
            with deciding(self._connections, term) as connection:
                fresh |= self._insert_tasks(connection, step, "waiting", now)
        return [task for task in tasks if task.id in fresh]

    def _insert_tasks(self, connection: Connection, tasks: Sequence[Task], state: str, now: int) -> set[str]:
        """Inserts tasks that are unknown, or settled and queued again; returns their ids."""
        by_id = {task.id: task for task in sorted(tasks, key=lambda task: task.id)}
        if not by_id:
            return set()
        new_rows = [rows.new_task_row(task, state, now) for task in by_id.values()]
        found = connection.fetch(
            f"INSERT INTO bridge.tasks ({_NEW_TASK}) SELECT {_NEW_TASK} FROM unnest({_TASK_ARRAYS})"
            f" WITH ORDINALITY AS new ({_NEW_TASK}, number) ORDER BY number"
            # Conductor queues a task again only to have it worked on again (a rerun): then it waits again. One that is
            # handed over may have been polled before it was settled; a rerun schedules it anew.
            " ON CONFLICT (id) DO UPDATE SET state = excluded.state, settled_at = NULL,"
            " scheduled_at = excluded.scheduled_at, matches = excluded.matches, broken = excluded.broken,"
            " seen_at = excluded.seen_at"
            " WHERE excluded.found_by = 'queue' AND tasks.state IN ('completed', 'gone')"
            " AND (excluded.state = 'waiting' OR excluded.scheduled_at > tasks.scheduled_at)"
            # A task handed over since the agenda was read is found now: it must not be missed until the next one.
            " OR excluded.state = 'waiting' AND tasks.state = 'returned' RETURNING id",
            columns(new_rows),
        )
        return {row[0] for row in found}

    def drop(self, term: Term, task_ids: Sequence[str], now: int) -> None:
        for step in rows.steps(task_ids):
            with deciding(self._connections, term) as connection:
                connection.write(
                    "UPDATE bridge.tasks SET state = 'gone', settled_at = %s WHERE id = ANY(%s) AND state = 'waiting'",
                    (now, sorted(step)),
                )

    def look_again(self, term: Term, task_ids: Sequence[str]) -> None:
        for step in rows.steps(task_ids):
            with deciding(self._connections, term) as connection:
                connection.write(
                    "UPDATE bridge.tasks SET state = 'waiting' WHERE id = ANY(%s) AND state = 'returned'",
                    (sorted(step),),
                )

    def hand_over(self, tasks: Sequence[Task], now: int) -> None:
        for step in rows.steps(list(map(storable.task, tasks))):
            with self._connections.transaction() as connection:
                self._insert_tasks(connection, step, "returned", now)
        self._signals.tell("events")
