"""Completions that nobody makes while their tasks' time-outs are put off."""

from __future__ import annotations

from collections.abc import Sequence

from store.protocols import TaskLocks
from store.records import Target, Task
from store.rows import TASK
from store.rows import task as task_of
from store.sqlite import rows
from store.sqlite.connections import Connections
from store.sqlite.parts import marks, parts


class SqliteTaskLocks(TaskLocks):
    """Task locks on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def taken_in_time(self, after: str, limit: int) -> list[Task]:
        sql = f"SELECT {TASK} FROM tasks WHERE state = 'taken' AND response_timeout > 0 AND id > ? ORDER BY id LIMIT ?"
        # An id that isn't UTF-8 is read as another one: what is read again goes no further.
        return [task for task in map(task_of, self._connections.read(sql, (after, limit))) if task.id > after]

    def lock(self, worker: str, task_ids: Sequence[str], now: int, free_before: int) -> tuple[list[Target], list[str]]:
        locked: list[Target] = []
        live: set[str] = set()
        with self._connections.transaction() as db:
            for part in parts(task_ids):
                live |= {
                    task_id
                    for (task_id,) in db.execute(
                        f"SELECT id FROM tasks WHERE id IN ({marks(part)}) AND state IN ('taken', 'waiting')", part
                    ).fetchall()
                }
                locked += [
                    rows.target(row)
                    for row in db.execute(
                        f"SELECT {rows.TARGET} FROM targets WHERE task_id IN ({marks(part)}) AND state = 'pending'"
                        " AND (attempts = 0 OR not_sent = 1 OR claimed_at < ?)",
                        (*part, free_before),
                    ).fetchall()
                ]
            db.executemany(
                "UPDATE targets SET state = 'claimed', attempts = attempts + 1, claimed_by = ?, claimed_at = ?"
                " WHERE id = ?",
                [(worker, now, target.id) for target in locked],
            )
        return locked, [task_id for task_id in task_ids if task_id not in live]

    def unlock(self, worker: str, targets: Sequence[tuple[Target, int]]) -> None:
        with self._connections.transaction() as db:
            db.executemany(
                "UPDATE targets SET state = 'pending', attempts = ?, claimed_at = ?, due_at = ?"
                " WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ?",
                [
                    (target.attempts, target.claimed_at, due_at, target.id, worker, target.attempts + 1)
                    for target, due_at in targets
                ],
            )
