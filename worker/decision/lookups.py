"""What the rule needs to know about workflows, looked up aside: a task whose workflow isn't known
yet is judged again once it is.

Belongs to the loop's thread.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Collection, Iterable
from concurrent.futures import Executor
from dataclasses import replace

import structlog

from store.clock import MonotonicClock
from store.processes import WorkerStore
from store.records import Workflow
from store.sql.database import Listener
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError
from worker.discovery.suspects import Suspects
from worker.retries import Retries, failing_items

log = structlog.get_logger()

THREADS = 32
"""Workflows that are looked up at a time; some may hang for BRIDGE_CALL_TIMEOUT."""
_FAILING = THREADS // 2
"""Most look-ups in flight of workflows whose last one failed, so that those that hang leave room."""
_LONGEST_PAUSE = 30.0
"""Longest pause in seconds between look-ups of one workflow."""
_PATIENCE = 2.0
"""Seconds that a first look-up may take: it isn't known yet which will hang."""
_WANTED_FOR = 60.0
"""Seconds after which a workflow that no task asks about any more is forgotten."""
_SHOW_EVERY = 1.0
"""Seconds between two checks of what people should be shown."""


class Lookups:
    """Workflows that are looked up for decisions, on a pool's threads."""

    def __init__(
        self,
        store: WorkerStore,
        conductor: Conductor,
        pool: Executor,
        listener: Listener,
        clock: MonotonicClock = time,
    ):
        """`listener` is woken by each answer."""
        self._store = store
        self._conductor = conductor
        self._pool = pool
        self._listener = listener
        self._clock = clock
        self._wanted: dict[str, float] = {}
        """When each was last asked about."""
        self._due = Retries[str, bool]()
        """Those that aren't being looked up. Whose last look-up failed have turns of their own."""
        self._running: set[str] = set()
        self._outdated: set[str] = set()
        """Those of them that may have been restarted since."""
        self._answers = queue.SimpleQueue[tuple[str, Workflow | Exception]]()
        self._failing = Suspects(clock, _LONGEST_PAUSE)
        self._shown_at = float("-inf")

    def known(self, workflow_ids: Collection[str]) -> dict[str, Workflow]:
        """Those of the workflows that have been looked up, by their ids. Raises StoreUnavailable."""
        return self._store.workflows.known(workflow_ids)

    def want(self, workflow_ids: Iterable[str]) -> None:
        """A decision depends on these workflows, which aren't known yet."""
        now = self._clock.monotonic()
        for workflow_id in workflow_ids:
            if workflow_id not in self._wanted:
                self._due.put(workflow_id, now, False)
            self._wanted[workflow_id] = now
        self._submit(now)

    def read_again(self, workflow_ids: Collection[str]) -> None:
        """These may have been restarted or upgraded: what is known of them is forgotten. Raises
        StoreUnavailable."""
        self._store.workflows.forget(workflow_ids)
        self._outdated.update(self._running.intersection(workflow_ids))

    def found(self) -> set[str]:
        """The workflows that are known since the last call. Raises StoreUnavailable."""
        now = self._clock.monotonic()
        found: list[Workflow] = []
        while not self._answers.empty():
            found += self._take(*self._answers.get_nowait())
        refused = failing_items(found, self._store.workflows.remember)
        for workflow, error in refused:
            self._fail(workflow.id, error)
        known = {one.id for one in found} - {one.id for one, _ in refused}
        self._submit(now)
        if now >= self._shown_at + _SHOW_EVERY:
            self._shown_at = now
            self._forget(now)
            self._failing.show(self._store)
        return known

    def due_in(self) -> float:
        """Seconds until a look-up is to be tried again; infinite if none is."""
        return max(0.0, self._due.due_at(self._has_room) - self._clock.monotonic())

    def _take(self, workflow_id: str, answer: Workflow | Exception) -> list[Workflow]:
        self._running.discard(workflow_id)
        if workflow_id in self._outdated:
            self._outdated.discard(workflow_id)
            self._due.put(workflow_id, self._clock.monotonic(), False)
            return []
        if isinstance(answer, Exception):
            self._fail(workflow_id, answer)
            return []
        self._wanted.pop(workflow_id, None)
        self._failing.read("workflow", [workflow_id])
        started_at = round(self._conductor.server_clock.to_local(answer.root_started_at))
        return [replace(answer, root_started_at=started_at)]

    def _fail(self, workflow_id: str, error: Exception) -> None:
        reason = f"workflow {workflow_id} can't be looked up: {str(error) or type(error).__name__}"
        failure = self._failing.failed("workflow", workflow_id, reason)
        self._wanted.setdefault(workflow_id, self._clock.monotonic())
        self._due.put(workflow_id, failure.due_at, True)
        if failure.tries == 1:
            log.warning(
                "a workflow can't be looked up; only its own tasks wait for it", error=reason
            )

    def _submit(self, now: float) -> None:
        while (workflow_id := self._due.pop(now, self._has_room)) is not None:
            self._running.add(workflow_id)
            self._pool.submit(self._look_up, workflow_id, self._has_failed(workflow_id))

    def _has_room(self, failing: bool) -> bool:
        if failing:
            return sum(map(self._has_failed, self._running)) < _FAILING
        return len(self._running) < THREADS

    def _has_failed(self, workflow_id: str) -> bool:
        return ("workflow", workflow_id) in self._failing

    def _look_up(self, workflow_id: str, patiently: bool) -> None:
        """On the pool."""
        conductor = self._conductor if patiently else self._conductor.within(_PATIENCE)
        answer: Workflow | Exception
        try:
            # One that Conductor doesn't know is asked for again, until its tasks are known to be
            # over: it may be another server.
            answer = conductor.workflow(workflow_id) or LookupError("Conductor doesn't know it")
        except ConductorError as error:
            answer = error
        except Exception as error:
            log.exception("a look-up failed unexpectedly", workflow_id=workflow_id)
            answer = error
        self._answers.put((workflow_id, answer))
        self._listener.wake()

    def _forget(self, now: float) -> None:
        """Forgets those that no task asks about any more: the tasks have ended."""
        for workflow_id, at in list(self._wanted.items()):
            if at < now - _WANTED_FOR and workflow_id not in self._running:
                del self._wanted[workflow_id]
                self._due.forget(workflow_id)
                self._failing.read("workflow", [workflow_id])
