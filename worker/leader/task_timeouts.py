"""Extends the response time-outs of tasks whose definition has one; otherwise they would time out.

That covers waiting tasks, and tasks that an event has taken until their completion is recorded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Container, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from store.clock import MonotonicClock
from store.errors import StoreUnavailable
from store.processes import WorkerStore
from store.records import Task
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotSent, Refused
from worker.delivery.outcomes import FRESH, claim_lasts
from worker.leader.heartbeat import Heartbeat
from worker.retries import Retries, wait_before

log = structlog.get_logger()

_THREADS = 16
_FAILING = _THREADS // 2
"""Most extensions in flight for tasks whose last one failed, so that those that hang hold up no
other."""
_IN_HAND = 128
"""Most other extensions that are in flight or wait for a thread."""
_PAGE = 2000
_SOONEST = 0.2
"""Minimum seconds between two tries."""
PATIENCE = 0.1
"""Seconds that a decision waits for extensions in flight. Each takes a few milliseconds unless it
hangs."""


@dataclass(eq=False)
class _Timer:
    """One task's time-out. Times are seconds by the monotonic clock."""

    task: Task
    due: float
    """When it is to be extended."""
    given: int = 0
    """How often this worker has given the task to an event."""
    failures: int = 0
    effect_until: float = float("-inf")
    """Until when an extension with a lost answer may still take effect."""

    @property
    def within(self) -> float:
        """Seconds for one call, so that several tries fit within the time-out."""
        return max(1.0, self.task.response_timeout / 6)


class TaskTimeouts:
    """Extends each time-out a third of its length after the last extension; after a failure,
    several times sooner.

    Conductor reads a task, changes it and writes it back, so an extension could undo a concurrent
    completion. So no task is given to an event while its extension is in flight, or else its
    completion isn't due until that has ended. A taken task is extended under a claim of its
    completion, as any call for it is made.
    """

    def __init__(
        self,
        conductor: Conductor,
        store: WorkerStore,
        worker_id: str,
        pool: Executor | None = None,
        patience: float = PATIENCE,
        clock: MonotonicClock = time,
    ):
        """`patience`: seconds that a decision waits for extensions in flight."""
        self._conductor = conductor
        self._store = store
        # Not the worker's own id: its executor may give a claim back again if it doesn't know
        # whether it has done so.
        self._claimant = f"{worker_id}/time-outs"
        self._pool = pool or ThreadPoolExecutor(_THREADS, thread_name_prefix="time-outs")
        self._patience = patience
        self._clock = clock
        self._changed = threading.Condition()
        # Guards everything below.
        self._timers: dict[str, _Timer] = {}
        self._retries = Retries[str, tuple[bool, int]]()
        """Those that aren't running. Each length of time-outs has its turns, apart for those that
        failed."""
        self._running: set[_Timer] = set()
        self._extending: set[str] = set()
        """Waiting tasks with an extension in flight."""
        self._being_given: Collection[str] = ()
        self._receivers: Container[str] = ()
        """Those of the last look."""

    def load(self) -> None:
        """Reads the tasks with a time-out. Raises StoreUnavailable."""
        after = ""
        while page := self._store.tasks.with_time_out(after, _PAGE):
            for task in page:
                self.add(task)
            after = page[-1].id

    def add(self, task: Task) -> None:
        """The task waits from now on."""
        if task.response_timeout:
            with self._changed:
                if task.id not in self._timers:
                    self._add(_Timer(task, self._clock.monotonic()))

    def _add(self, timer: _Timer) -> None:
        self._timers[timer.task.id] = timer
        self._retries.put(
            timer.task.id, timer.due, (timer.failures > 0, timer.task.response_timeout)
        )

    def extend(self, receivers: Container[str], heartbeat: Heartbeat) -> None:
        """Begins the extensions that are due, of waiting tasks of these workflows and of taken
        ones.

        No request for a waiting one leaves once the term is no longer certain: another leader may
        then give the task to an event.
        """
        now = self._clock.monotonic()
        with self._changed:
            if heartbeat.over:  # the timers are the next term's by now
                return
            self._use_receivers(receivers, now)
            while (task_id := self._retries.pop(now, self._has_room)) is not None:
                timer = self._timers[task_id]
                self._running.add(timer)
                self._pool.submit(self._put_off, timer, receivers, heartbeat)

    def _use_receivers(self, receivers: Container[str], now: float) -> None:
        """Extends the time-outs of new receivers' tasks at once: their time may be nearly over."""
        before, self._receivers = self._receivers, receivers
        if receivers is before:
            return
        for timer in self._timers.values():
            workflow = timer.task.workflow
            is_new = workflow in receivers and workflow not in before
            is_idle = timer.due > now and timer not in self._running
            if is_new and is_idle:
                timer.due = now
                self._add(timer)

    def _has_room(self, group: tuple[bool, int]) -> bool:
        is_failing, _ = group
        alike = sum((timer.failures > 0) == is_failing for timer in self._running)
        return alike < (_FAILING if is_failing else _IN_HAND)

    # --- on the pool's threads ---

    def _put_off(self, timer: _Timer, receivers: Container[str], heartbeat: Heartbeat) -> None:
        task, given = timer.task, timer.given
        try:
            match self._store.waiting.states([task.id]).get(task.id):
                case "waiting" if task.workflow not in receivers:  # it may be one later
                    timer.due = self._clock.monotonic() + task.response_timeout / 3
                case "waiting":
                    self._put_off_waiting(timer, given, heartbeat)
                case "taken":
                    self._put_off_taken(timer)
                case _:
                    self._forget(timer)
        except Exception as error:
            self._again(timer)
            if isinstance(error, StoreUnavailable):
                log.warning(
                    "could not extend a taken task's time-out",
                    task_id=timer.task.id,
                    error=str(error),
                )
            else:
                log.exception(
                    "extending a task's time-out failed unexpectedly", task_id=timer.task.id
                )
        finally:
            with self._changed:
                self._running.discard(timer)
                if self._timers.get(timer.task.id) is timer:
                    self._add(timer)

    def _forget(self, timer: _Timer) -> None:
        with self._changed:
            self._timers.pop(timer.task.id, None)

    def _put_off_waiting(self, timer: _Timer, given: int, heartbeat: Heartbeat) -> None:
        task_id = timer.task.id
        with self._changed:
            is_given = task_id in self._being_given or timer.given != given
            if is_given or heartbeat.over:
                timer.due = self._clock.monotonic() + _SOONEST
                return
            self._extending.add(task_id)
        try:
            self._call(timer, heartbeat.certain_until)
        finally:
            with self._changed:
                self._extending.discard(task_id)
                self._changed.notify_all()

    def _put_off_taken(self, timer: _Timer) -> None:
        claims, task_id = self._store.claims, timer.task.id
        # First: this thread may be held up before it has the other time.
        began = self._clock.monotonic()
        now = self._store.now()
        lasts = int(claim_lasts(self._conductor.timeout) * 1000)
        claimed = claims.claim_completion(self._claimant, task_id, now, now - lasts)
        if claimed == "over":
            self._again(timer)  # it may wait again: the next look finds out
        elif claimed == "in flight":
            self._again(timer)
        else:
            try:
                self._call(timer, began + FRESH)
            finally:
                due_at = claimed.due_at
                left = timer.effect_until - self._clock.monotonic()
                if left > 0:
                    due_at = max(due_at, self._store.now() + int(1000 * left))
                claims.give_back(self._claimant, [claimed], due_at)

    def _call(self, timer: _Timer, not_after: float) -> None:
        task, began = timer.task, self._clock.monotonic()
        try:
            self._conductor.within(timer.within).extend_lease(task.id, task.workflow_id, not_after)
        except ConductorError as error:
            log.warning(
                "could not extend a task's time-out",
                task_id=task.id,
                workflow_id=task.workflow_id,
                error=str(error),
            )
            if not isinstance(error, (NotSent, Refused)):
                timer.effect_until = self._clock.monotonic() + self._conductor.timeout
            self._again(timer)
        else:
            timer.failures = 0
            timer.due = began + task.response_timeout / 3

    def _again(self, timer: _Timer) -> None:
        timer.failures += 1
        pause = min(timer.task.response_timeout / 12, wait_before(timer.failures))
        timer.due = self._clock.monotonic() + max(_SOONEST, pause)

    # --- decisions ---

    @contextmanager
    def suspended(self, tasks: Collection[Task]) -> Iterator[dict[str, int]]:
        """Begins no extension of these waiting tasks while the block gives them to events.

        Yields the times, by the store's clock, before which some may not be completed because an
        extension may still be taking effect. At the end the tasks count as taken, unless the
        decision failed.
        """
        timed = {task.id: task for task in tasks if task.response_timeout}
        with self._changed:
            self._being_given = timed
            self._changed.wait_for(lambda: self._extending.isdisjoint(timed), self._patience)
            now = self._clock.monotonic()
            not_before: dict[str, int] = {}
            for timer in (self._timers[task_id] for task_id in timed if task_id in self._timers):
                until = timer.effect_until
                if timer.task.id in self._extending:  # it hangs
                    longest = min(timer.within, self._conductor.timeout)
                    until = now + longest + self._conductor.timeout
                if until > now:
                    not_before[timer.task.id] = self._store.now() + int(1000 * (until - now)) + 1
        try:
            yield not_before
            with self._changed:
                for task in timed.values():
                    if task.id not in self._timers:
                        self._add(_Timer(task, self._clock.monotonic() + task.response_timeout / 3))
                    self._timers[task.id].given += 1
        finally:
            with self._changed:
                self._being_given = ()

    def finish(self) -> bool:
        """Forgets all tasks, once the term is over; returns whether no extension of a waiting one
        is still in flight."""
        with self._changed:
            self._timers.clear()
            self._retries = Retries()
            return self._changed.wait_for(lambda: not self._extending, 1.0)
