"""What the delivery rules need to know about workflows. One that Conductor can't return for now is
in doubt."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Collection, Iterable
from concurrent.futures import Executor

import structlog

from store.clock import MonotonicClock
from store.errors import StoreUnavailable
from store.processes import WorkerStore
from store.records import Workflow
from worker.conductor.client import Conductor
from worker.discovery.suspects import Suspects
from worker.retries import Retries, failing_items

log = structlog.get_logger()

THREADS = 32
"""Workflows that are looked up at a time for decisions; some may hang for BRIDGE_CALL_TIMEOUT."""
_REMEMBERED = 50_000
_PATIENCE = 0.5
"""Seconds that a decision waits for the next look-up's answer."""
_LONGEST = 2.0
"""Seconds that a decision waits for all of its look-ups together."""
_LONGEST_PAUSE = 30.0
"""Longest pause in seconds between look-ups of one workflow."""
_FORGOTTEN_AFTER = 60.0
"""Seconds past its next try after which a doubt that no rule asked about is forgotten: its tasks
have ended."""
_SHOW_EVERY = 1.0
"""Seconds between two checks of what people should be shown."""
_ANSWER_DUE = 0.25
"""Seconds after which to check whether a look-up in the background has been answered."""


class InDoubt(Exception):
    """Conductor can't return the workflow for now."""


class Workflows:
    """Belongs to the loop's thread. A slow look-up continues in the background, and its answer is
    used later."""

    def __init__(
        self,
        store: WorkerStore,
        conductor: Conductor,
        pool: Executor,
        clock: MonotonicClock = time,
        threads: int = THREADS,
    ):
        """Look-ups run on the `pool`, which has so many `threads`."""
        self._store = store
        self._conductor = conductor
        self._pool = pool
        self._threads = threads
        self._clock = clock
        self._known: dict[str, Workflow] = {}
        self._outdated: set[str] = set()
        """Those whose version may have changed since they were looked up."""
        self._unsaved: dict[str, Workflow] = {}
        self._running: set[str] = set()
        self._retried: set[str] = set()
        """Those of them whose last look-up failed."""
        self._answers: queue.SimpleQueue[tuple[str, Workflow | Exception, bool]] = (
            queue.SimpleQueue()
        )
        self._doubts = Suspects(clock, _LONGEST_PAUSE)
        self._retries = Retries[str, None]()
        self._ready: set[str] = set()
        self._until = float("-inf")
        self._shown_at = float("-inf")

    def begin(self) -> set[str]:
        """A decision begins. Returns the workflows about which more may be known than at the last
        one."""
        self._until = self._clock.monotonic() + _LONGEST
        if len(self._known) > _REMEMBERED:
            self._known = dict(self._unsaved)
        while not self._answers.empty():
            self._take(*self._answers.get_nowait())
        while (due := self._retries.pop(self._clock.monotonic())) is not None:
            self._ready.add(due)
        ready, self._ready = self._ready, set()
        return ready

    def due_in(self) -> float:
        """Seconds until a look-up should be retried, or may have been answered; infinite if there
        is none."""
        due = self._retries.due_at() - self._clock.monotonic()
        if self._running or self._ready:
            due = min(due, _ANSWER_DUE)
        return max(0.0, due)

    def read_again(self, workflow_ids: Collection[str]) -> None:
        """The workflows may have been restarted or upgraded, which changes their versions: what was
        looked up before is forgotten. Raises StoreUnavailable."""
        self._store.workflows.forget(workflow_ids)
        for workflow_id in workflow_ids:
            self._known.pop(workflow_id, None)
            self._unsaved.pop(workflow_id, None)
        self._outdated.update(self._running.intersection(workflow_ids))

    def get(self, workflow_id: str) -> Workflow:
        """The workflow. Raises InDoubt if Conductor can't return it now, and StoreUnavailable.

        One that Conductor doesn't know is in doubt too, until its tasks are known to be over.
        """
        self.look_up([workflow_id])
        if workflow_id in self._known:
            return self._known[workflow_id]
        doubt = self._doubts.get("workflow", workflow_id)
        if doubt is not None:
            raise InDoubt(doubt.reason)
        raise InDoubt(f"workflow {workflow_id} has not been looked up yet")

    def look_up(self, workflow_ids: Iterable[str]) -> None:
        """Looks up several workflows at once, and waits while answers come in. Raises
        StoreUnavailable."""
        wanted, waiting = deque(filter(self._is_due, dict.fromkeys(workflow_ids))), set[str]()
        while wanted or waiting:
            # No more than there are threads: those of one webhook that hang must not queue before
            # all others.
            while wanted and len(self._running) < self._threads:
                self._begin(wanted.popleft(), waiting)
            left = 0.0
            if waiting:
                left = max(0.0, min(_PATIENCE, self._until - self._clock.monotonic()))
            try:
                answered = self._answers.get(timeout=left)
            except queue.Empty:
                break
            waiting.discard(answered[0])
            self._take(*answered)
        self._ready.update(wanted)  # there was no room for them

    def _begin(self, workflow_id: str, waiting: set[str]) -> None:
        if self._is_in_doubt(workflow_id):
            # Earlier failures, which may hang again, leave half of the threads to others.
            if len(self._retried) >= max(1, self._threads // 2):
                self._ready.add(workflow_id)
                return
            self._retried.add(workflow_id)
        self._running.add(workflow_id)
        waiting.add(workflow_id)
        self._pool.submit(self._run, workflow_id)

    def save(self) -> None:
        """Stores what was looked up. Raises StoreUnavailable."""
        if self._unsaved:
            for workflow, error in failing_items(
                list(self._unsaved.values()), self._store.workflows.remember
            ):
                # It is known for now, and is looked up again once it is forgotten.
                log.warning(
                    "look-up results can't be stored", workflow_id=workflow.id, error=str(error)
                )
            self._unsaved.clear()
        if self._clock.monotonic() >= self._shown_at + _SHOW_EVERY:
            self._shown_at = self._clock.monotonic()
            self._forget()
            self._doubts.show(self._store)

    def _forget(self) -> None:
        """Forgets doubts that no rule asks about any more."""
        before = self._clock.monotonic() - _FORGOTTEN_AFTER
        ids = [
            doubt.id
            for doubt in self._doubts.all()
            if doubt.due_at < before and doubt.id not in self._running
        ]
        self._doubts.read("workflow", ids)

    def _is_due(self, workflow_id: str) -> bool:
        if workflow_id in self._known or workflow_id in self._running:
            return False
        doubt = self._doubts.get("workflow", workflow_id)
        return doubt is None or self._clock.monotonic() >= doubt.due_at

    def _is_in_doubt(self, workflow_id: str) -> bool:
        return ("workflow", workflow_id) in self._doubts

    def _run(self, workflow_id: str) -> None:
        """On the pool."""
        self._answers.put((workflow_id, *self._find(workflow_id)))

    def _find(self, workflow_id: str) -> tuple[Workflow | Exception, bool]:
        """What the store or Conductor knows about the workflow, or why that is unknown; and whether
        it is new."""
        try:
            known = self._store.workflows.find(workflow_id)
            if known is not None:
                return known, False
        except StoreUnavailable as error:
            return error, False
        except Exception as error:
            log.warning(
                "a stored workflow can't be read", workflow_id=workflow_id, error=str(error)
            )
        # It isn't known yet which first look-ups will hang: together they must not occupy every
        # thread for as long as a call may last.
        patience = float("inf") if self._is_in_doubt(workflow_id) else _LONGEST
        try:
            found = self._conductor.within(patience).workflow(workflow_id)
        except Exception as error:
            return error, False
        return found or InDoubt("Conductor doesn't know it"), True

    def _take(self, workflow_id: str, found: Workflow | Exception, is_new: bool) -> None:
        self._running.discard(workflow_id)
        self._retried.discard(workflow_id)
        if workflow_id in self._outdated:
            self._outdated.discard(workflow_id)
            self._ready.add(workflow_id)
            return
        if isinstance(found, StoreUnavailable):
            raise found
        if isinstance(found, Exception):
            self._fail(workflow_id, found)
            return
        if self._is_in_doubt(workflow_id):
            self._doubts.read("workflow", [workflow_id])
            log.info("a workflow can be looked up again", workflow_id=workflow_id)
        self._ready.add(workflow_id)
        self._known[workflow_id] = found
        if is_new:
            self._unsaved[workflow_id] = found

    def _fail(self, workflow_id: str, error: Exception) -> None:
        reason = f"workflow {workflow_id} can't be looked up: {str(error) or type(error).__name__}"
        doubt = self._doubts.failed("workflow", workflow_id, reason)
        self._retries.put(workflow_id, doubt.due_at, None)
        if doubt.tries == 1:
            log.warning(
                "a workflow can't be looked up; only its own tasks wait for it", error=reason
            )
