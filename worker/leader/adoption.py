"""Moves found tasks into the store and the decider, and out again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog

from config.logs import some_of
from store.records import Task, Term
from store.sql.rows import steps
from store.sql.store import Store
from worker.discovery.barrier import Barrier
from worker.failing_items import failing_items
from worker.leader.decider import Decider
from worker.leader.reporting import Reporter
from worker.leader.task_index import parse_task

log = structlog.get_logger()


class Adoption:
    """Belongs to one term, and to the loop's thread. What the store refuses is narrowed down to single tasks."""

    def __init__(self, store: Store, term: Term, decider: Decider, barrier: Barrier, reporter: Reporter):
        self._store = store
        self._term = term
        self._decider = decider
        self._barrier = barrier
        self._reporter = reporter
        self.has_unstored = False
        """Whether polled tasks couldn't be stored, which no queue hands out again."""

    def adopt(self, tasks: Sequence[Task], suspects: bool = False) -> None:
        """Stores the tasks; new ones wait from now on. Raises LeadershipLost and StoreUnavailable.

        `suspects` may have been handed out by the queue earlier, when they couldn't be read.
        """
        tasks = [replace(task, broken=parse_task(task)[1]) for task in tasks]
        self.has_unstored |= any(task.found_by == "queue" for task in tasks)
        fresh: list[Task] = []

        def adopt(some: Sequence[Task]) -> None:
            for part in steps(some):  # as the store commits them: those before a refused one are known here too
                fresh.extend(self._store.tasks.adopt(self._term, part, self._store.now()))

        for task, error in failing_items(tasks, adopt):
            self._decider.quarantine.task_failed(task.id, error, partial(self.adopt, [task]))
        self.has_unstored = False
        self._decider.add_tasks(fresh)
        for task in fresh:
            log.info(
                "task waits",
                task_id=task.id,
                workflow=task.workflow,
                workflow_id=task.workflow_id,
                reference_name=task.reference_name,
                found_by=task.found_by,
                **({"broken": task.broken} if task.broken else {}),
            )
        if not suspects and any(task.found_by == "index" for task in fresh):
            self._reporter.found_by_index_alone(self._barrier)

    def wait_again(self, returned: Sequence[Task]) -> None:
        """Makes returned tasks wait again. Raises LeadershipLost and StoreUnavailable."""
        due = [task for task in returned if not self._decider.quarantine.has_task(task.id)]
        for task, error in failing_items(due, self._wait_again):
            self._decider.quarantine.task_failed(task.id, error, partial(self._wait_again, [task]))

    def _wait_again(self, tasks: Sequence[Task]) -> None:
        self._store.tasks.wait_again(self._term, [task.id for task in tasks])
        self._decider.add_tasks(tasks)

    def drop(self, task_ids: Sequence[str]) -> None:
        """These tasks no longer wait: Conductor has ended them. Raises LeadershipLost and StoreUnavailable."""

        def drop(ids: Sequence[str]) -> None:
            self._store.tasks.drop(self._term, ids, self._store.now())
            self._decider.drop_tasks(ids)

        for task_id, error in failing_items(task_ids, drop):  # the next discovery finds out that it has ended
            self._decider.quarantine.task_failed(task_id, error, lambda: None)
        log.info("tasks no longer wait: Conductor has ended them", tasks=some_of(task_ids))
