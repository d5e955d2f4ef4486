"""Locks completions while their tasks' time-outs are extended."""

from __future__ import annotations

from collections.abc import Sequence

from store.protocols import Signals
from store.records import Target, Task
from store.sql import rows
from store.sql.claims import IS_CLAIM
from store.sql.database import Database

_TAKEN_IN_TIME = f"""
SELECT {rows.TASK} FROM bridge.tasks WHERE state = 'taken' AND response_timeout > 0 AND id > %s ORDER BY id LIMIT %s
"""
# By the index over tasks that are taken, not by that of all pending targets.
_FREE = f"""
SELECT {rows.TARGET} FROM bridge.targets
WHERE task_id = ANY(%s) AND state IN ('pending', 'claimed') AND coalesce(state, '') = 'pending'
AND (attempts = 0 OR not_sent OR claimed_at < %s) ORDER BY id FOR UPDATE SKIP LOCKED
"""
_LIVE = "SELECT id FROM bridge.tasks WHERE id = ANY(%s) AND state IN ('taken', 'waiting')"
_LOCK = """
UPDATE bridge.targets SET state = 'claimed', attempts = attempts + 1, claimed_by = %s, claimed_at = %s
WHERE id = ANY(%s)
"""
_UNLOCK = f"UPDATE bridge.targets SET state = 'pending', attempts = %s, claimed_at = %s, due_at = %s WHERE {IS_CLAIM}"


class TaskLocks:
    """Locks completions while their tasks' time-outs are extended.

    A lock is a claim. Rows are locked in one order: targets, then tasks, which are only read.
    """

    def __init__(self, database: Database, signals: Signals):
        self._database = database
        self._signals = signals

    def taken_in_time(self, after: str, limit: int) -> list[Task]:
        """Taken tasks with a response time-out, after that id, in order of id."""
        # SQLite reads an id that isn't UTF-8 as a different one: stop when the same rows come again.
        found = map(rows.task, self._database.read(_TAKEN_IN_TIME, (after, limit)))
        return [task for task in found if task.id > after]

    def lock(self, worker: str, task_ids: Sequence[str], now: int, free_before: int) -> tuple[list[Target], list[str]]:
        """Claims the completions of taken tasks, due or not, so that no worker calls for them.

        Only unclaimed ones that can't have a call in flight: none was made, the last wasn't sent, or its claim is older
        than `free_before`. Returns them as they were, and the tasks that are neither taken nor waiting; the decision
        that takes a waiting one may still be being written, in parts.
        """
        with self._database.transaction() as transaction:
            found = transaction.fetch(_FREE, (list(task_ids), free_before))
            locked = [rows.target(row) for row in found]
            live = {task_id for (task_id,) in transaction.fetch(_LIVE, (list(task_ids),))}
            if locked:
                transaction.write(_LOCK, (_owner(worker), now, [target.id for target in locked]))
        return locked, [task_id for task_id in task_ids if task_id not in live]

    def unlock(self, worker: str, targets: Sequence[tuple[Target, int]]) -> None:
        """Undoes these claims; each target is due at that time."""
        if targets:
            owner = _owner(worker)
            with self._database.transaction() as transaction:
                transaction.fetch_together(
                    [
                        (_UNLOCK, (t.attempts, t.claimed_at, due_at, t.id, owner, t.attempts + 1))
                        for t, due_at in sorted(targets, key=lambda each: each[0].id)
                    ]
                )
            self._signals.notify("targets")


def _owner(worker: str) -> str:
    """Not the worker itself: its executor may give a claim back again if it doesn't know whether that was committed."""
    return f"{worker}/time-outs"
