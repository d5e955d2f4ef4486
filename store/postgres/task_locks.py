"""Completions that nobody makes while their tasks' time-outs are put off."""

from __future__ import annotations

from collections.abc import Sequence

from store import rows
from store.postgres.connections import Connections
from store.postgres.signals import ProcessWakeUp
from store.protocols import TaskLocks
from store.records import Target, Task


class PostgresTaskLocks(TaskLocks):
    """Task locks on PostgreSQL."""

    def __init__(self, connections: Connections, wake_up: ProcessWakeUp):
        self._connections = connections
        self._wake_up = wake_up

    def taken_in_time(self, after: str, limit: int) -> list[Task]:
        sql = (
            f"SELECT {rows.TASK} FROM bridge.tasks"
            " WHERE state = 'taken' AND response_timeout > 0 AND id > %s ORDER BY id LIMIT %s"
        )
        return [rows.task(row) for row in self._connections.read(sql, (after, limit))]

    def lock(self, worker: str, task_ids: Sequence[str], now: int, free_before: int) -> tuple[list[Target], list[str]]:
        with self._connections.transaction() as connection:
            # In the order in which all lock: targets, then tasks, which are only read here.
            found = connection.fetch(
                f"SELECT {rows.TARGET} FROM bridge.targets WHERE task_id = ANY(%s) AND state = 'pending'"
                " AND (attempts = 0 OR not_sent OR claimed_at < %s) ORDER BY id FOR UPDATE SKIP LOCKED",
                (list(task_ids), free_before),
            )
            locked = [rows.target(row) for row in found]
            live = {
                row[0]
                for row in connection.fetch(
                    "SELECT id FROM bridge.tasks WHERE id = ANY(%s) AND state IN ('taken', 'waiting')",
                    (list(task_ids),),
                )
            }
            if locked:
                connection.write(
                    "UPDATE bridge.targets SET state = 'claimed', attempts = attempts + 1, claimed_by = %s,"
                    " claimed_at = %s WHERE id = ANY(%s)",
                    (worker, now, [target.id for target in locked]),
                )
        return locked, [task_id for task_id in task_ids if task_id not in live]

    def unlock(self, worker: str, targets: Sequence[tuple[Target, int]]) -> None:
        if not targets:
            return
        with self._connections.transaction() as connection:
            connection.write(
                "UPDATE bridge.targets t SET state = 'pending', attempts = c.attempts, claimed_at = c.claimed_at,"
                " due_at = c.due_at FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])"
                " AS c (id, attempts, claimed_at, due_at)"
                " WHERE t.id = c.id AND t.state = 'claimed' AND t.claimed_by = %s AND t.attempts = c.attempts + 1",
                (
                    [target.id for target, _ in targets],
                    [target.attempts for target, _ in targets],
                    [target.claimed_at for target, _ in targets],
                    [due_at for _, due_at in targets],
                    worker,
                ),
            )
        self._wake_up.ring("targets")
