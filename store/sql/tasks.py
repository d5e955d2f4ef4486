"""Tasks that wait for an event, and what was looked up about their workflows."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from store.one_target import plain_name
from store.records import Task, Term, Workflow
from store.sql import rows, storable
from store.sql.database import Database, Deciding, Part, Rows, Transaction

SHAPES = 1000
"""Most sets of paths by which the tasks of one workflow may ask."""
_TOO_MANY = (
    f"its workflow's tasks ask by more than {SHAPES} different sets of paths: write the same paths in"
    " all of them, and let the expected values differ"
)
_FILL_MARGIN = 60_000
"""Milliseconds by which keys reach further back than the task asks: others of its kind follow."""


class Asks(NamedTuple):
    """What a found task asks for."""

    paths: tuple[str, ...]
    key: int
    """The digest of what it expects there."""


_INTO = f"bridge.tasks ({rows.TASK}, waiter, read_at)"
# A task that is settled waits again if Conductor shows it waiting: it was rerun, or wrongly
# believed to be gone. An answer to a call that began before it was settled may be older than that.
# A queue hands out what waits again only.
_AGAIN = """
ON CONFLICT (id) DO UPDATE SET state = 'waiting', settled_at = NULL, scheduled_at = excluded.scheduled_at,
    matches = excluded.matches, broken = excluded.broken, seen_at = excluded.seen_at, shown_at = excluded.shown_at,
    adopted_at = excluded.adopted_at, waiting_since = excluded.waiting_since, wait = tasks.wait + 1,
    shape = excluded.shape, key = excluded.key, read_at = excluded.read_at
WHERE tasks.state IN ('completed', 'gone') AND (excluded.found_by = 'queue' OR excluded.seen_at > tasks.settled_at)
RETURNING id, wait
"""
_FORMER = """
SELECT shape, key, waiting_since, coalesce(settled_at, %s) FROM bridge.tasks
WHERE waiter = %s AND scheduled_at <= %s AND id <> %s ORDER BY scheduled_at DESC LIMIT 1
"""
_SHAPE = "SELECT id, since FROM bridge.shapes WHERE workflow = %s AND paths = %s FOR UPDATE"
_NUMBER_OF_SHAPES = "SELECT count(*) FROM bridge.shapes WHERE workflow = %s"
_INTO_SHAPES = "bridge.shapes (workflow, paths, since, fill_from, used_at)"
_FILL = "UPDATE bridge.shapes SET since = %s, fill_from = %s, used_at = %s WHERE id = %s"
_USED = "UPDATE bridge.shapes SET used_at = %s WHERE id = ANY(%s)"
# A function of the state: PostgreSQL would look for some tasks among all that wait.
_IS_WAITING = "coalesce(state, '') = 'waiting'"
_DROP = (
    f"UPDATE bridge.tasks SET state = 'gone', settled_at = %s WHERE id = ANY(%s) AND {_IS_WAITING}"
)
_TIMED = f"""
SELECT {rows.TASK} FROM bridge.tasks WHERE response_timeout > 0 AND state IN ('waiting', 'taken') AND id > %s
ORDER BY id LIMIT %s
"""
_SETTLED_BY = """
SELECT id FROM bridge.tasks WHERE settled_at IS NOT NULL AND settled_at <= %s ORDER BY settled_at DESC LIMIT %s
"""


class Tasks:
    """Tasks waiting for an event. Writes raise LeadershipLost once another worker is leader."""

    def __init__(self, database: Database, leadership: Deciding):
        self._database = database
        self._leadership = leadership

    def adopt(
        self,
        term: Term,
        tasks: Sequence[tuple[Task, Asks | None]],
        now: int,
        holds: Mapping[str, int],
    ) -> list[Task]:
        """Stores tasks that were found waiting, with what each asks for (None: nothing can be for
        it). Returns those that weren't known to wait before; they are to look for an event.

        A settled task waits again, unless the call that showed it waiting began before it was
        settled. `holds`: workflow → the longest hold of its webhooks, in milliseconds: a round of a
        loop that follows the one before within it goes on waiting.
        """
        fresh: list[Task] = []
        for step in rows.steps(tasks):
            by_id = {task.id: (storable.task(task), asks) for task, asks in step}
            in_order = sorted(by_id.values(), key=lambda one: one[0].id)
            with self._leadership.deciding(term) as transaction:
                shapes = _Shapes(transaction, now)
                shaped = [shapes.shaped(task, asks) for task, asks in in_order]
                shapes.note_use()
                waiting = _in_their_loops(transaction, shaped, now, holds)
                found = transaction.insert(_INTO, [_row(task) for task in waiting], _AGAIN)
            waits: dict[str, int] = dict(found)
            fresh += [replace(task, wait=waits[task.id]) for task in waiting if task.id in waits]
        return sorted(fresh, key=lambda task: task.scheduled_at)

    def drop(self, term: Term, task_ids: Sequence[str], now: int) -> None:
        """The tasks no longer wait: Conductor has ended them."""
        for step in rows.steps(task_ids):
            with self._leadership.deciding(term) as transaction:
                transaction.write(_DROP, (now, sorted(step)))

    def forget(self, task_ids: Sequence[str], now: int) -> list[str]:
        """The tasks no longer wait: a person says so, whoever is leader. Returns those that
        waited."""
        with self._database.transaction() as transaction:
            found = transaction.fetch(f"{_DROP} RETURNING id", (now, sorted(task_ids)))
        return [task_id for (task_id,) in found]

    def not_waiting(self, task_ids: Sequence[str]) -> list[str]:
        """Those of the tasks that don't wait any more, as somebody else has settled them."""
        sql = "SELECT id FROM bridge.tasks WHERE id = ANY(%s) AND settled_at IS NOT NULL"
        steps = rows.steps(task_ids)
        return [task_id for step in steps for (task_id,) in self._database.read(sql, (list(step),))]

    def settled_by(self, moment: int, limit: int) -> list[str]:
        """The last tasks that were settled by then."""
        return [task_id for (task_id,) in self._database.read(_SETTLED_BY, (moment, limit))]

    def with_time_out(self, after: str, limit: int) -> list[Task]:
        """Waiting and taken tasks with a response time-out, after that id, in order of id."""
        # SQLite reads an id that isn't UTF-8 as a different one: stop when the same rows come
        # again.
        found = map(rows.task, self._database.read(_TIMED, (after, limit)))
        return [task for task in found if task.id > after]


class _Shapes:
    """Finds and makes the shapes of tasks that are adopted in one transaction."""

    def __init__(self, transaction: Transaction, now: int):
        self._transaction = transaction
        self._now = now
        self._known: dict[tuple[str, str], tuple[int, int]] = {}
        """(workflow, paths) → id, and since when events have keys."""

    def shaped(self, task: Task, asks: Asks | None) -> Task:
        """The task with the shape of what it asks for."""
        if asks is None:
            return task
        paths = json.dumps(asks.paths)
        place = task.workflow, paths
        if place not in self._known and not self._find(task, paths):
            return replace(task, broken=_TOO_MANY)
        shape, since = self._known[place]
        if task.scheduled_at < since:
            self._reach_back(place, task.scheduled_at)
        return replace(task, shape=shape, key=asks.key)

    def _find(self, task: Task, paths: str) -> bool:
        """Whether there is such a shape now."""
        place = task.workflow, paths
        found = self._transaction.fetch(_SHAPE, place)
        if not found:
            [(number,)] = self._transaction.fetch(_NUMBER_OF_SHAPES, (task.workflow,))
            if number >= SHAPES:
                return False
            since = task.scheduled_at - _FILL_MARGIN
            row = (task.workflow, paths, since, since, self._now)
            self._transaction.insert(_INTO_SHAPES, [row])
            found = self._transaction.fetch(_SHAPE, place)
        [self._known[place]] = found
        return True

    def _reach_back(self, place: tuple[str, str], scheduled_at: int) -> None:
        """Events of before, too, are to have keys."""
        shape, _ = self._known[place]
        since = scheduled_at - _FILL_MARGIN
        self._transaction.write(_FILL, (since, since, self._now, shape))
        self._known[place] = (shape, since)

    def note_use(self) -> None:
        """The shapes aren't forgotten for now."""
        if self._known:
            used = sorted(shape for shape, _ in self._known.values())
            self._transaction.write(_USED, (self._now, used))


def _in_their_loops(
    transaction: Transaction, tasks: Sequence[Task], now: int, holds: Mapping[str, int]
) -> list[Task]:
    """The tasks with the times since which their loops have waited."""
    waiters = {task.id: waiter for task in tasks if (waiter := waiter_of(task)) is not None}
    in_loops = [task for task in tasks if task.id in waiters]
    asked = [(_FORMER, (now, waiters[task.id], task.scheduled_at, task.id)) for task in in_loops]
    found = transaction.fetch_together(asked)
    since = {
        task.id: _since(task, former, holds.get(task.workflow, 0))
        for task, former in zip(in_loops, found, strict=True)
    }
    return [replace(task, waiting_since=since.get(task.id, task.scheduled_at)) for task in tasks]


def _since(task: Task, former: Rows, hold: int) -> int:
    """Since when its loop has waited: the round before it had the same criteria, and ended no
    longer than a hold before."""
    for shape, key, since, ended_at in former:
        if (shape, key) == (task.shape, task.key) and ended_at + hold >= task.scheduled_at:
            return int(since)
    return task.scheduled_at


def waiter_of(task: Task) -> str | None:
    """The loop that the task is a round of; None outside of loops."""
    name = plain_name(task.reference_name, task.iteration)
    if name == task.reference_name:
        return None
    return f"{task.workflow_id}/{name}"


def _row(task: Task) -> tuple[object, ...]:
    read_at = None if task.shape is None else 0
    return (*rows.new_task_row(task, task.adopted_at), waiter_of(task), read_at)


_KEEP_LAST = """
ON CONFLICT (id) DO UPDATE SET version = excluded.version, root_id = excluded.root_id,
    root_started_at = excluded.root_started_at, root_correlation_id = excluded.root_correlation_id
"""


_OF = f"SELECT {rows.WORKFLOW} FROM bridge.workflows WHERE id = ANY(%s)"


class KnownWorkflows(Part):
    """What was looked up about workflows. One row per workflow."""

    def find(self, workflow_id: str) -> Workflow | None:
        """The workflow, if it was looked up before."""
        found = self._database.read(
            f"SELECT {rows.WORKFLOW} FROM bridge.workflows WHERE id = %s", (workflow_id,)
        )
        return Workflow(*found[0]) if found else None

    def known(self, workflow_ids: Collection[str]) -> dict[str, Workflow]:
        """Those of the workflows that were looked up before, by their ids."""
        if not workflow_ids:
            return {}
        found = self._database.read(_OF, (sorted(workflow_ids),))
        return {row[0]: Workflow(*row) for row in found}

    def forget(self, workflow_ids: Collection[str]) -> None:
        """Forgets what was looked up about these."""
        with self._database.transaction() as transaction:
            transaction.write(
                "DELETE FROM bridge.workflows WHERE id = ANY(%s)", (sorted(workflow_ids),)
            )

    def remember(self, workflows: Sequence[Workflow]) -> None:
        """Stores what was looked up, for as long as a task of the workflow is kept."""
        in_order = sorted(workflows, key=lambda workflow: workflow.id)
        by_id = {workflow.id: workflow for workflow in in_order}
        for step in rows.steps(list(map(rows.workflow_row, by_id.values()))):
            with self._database.transaction() as transaction:
                transaction.insert(f"bridge.workflows ({rows.WORKFLOW})", step, _KEEP_LAST)
