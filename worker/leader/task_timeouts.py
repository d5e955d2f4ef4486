"""Extends the response time-outs of tasks whose definition has one; otherwise they would time out.

That covers waiting tasks, and tasks that an event has taken until their completion is recorded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from store.clock import MonotonicClock
from store.errors import StoreUnavailable
from store.protocols import Clock
from store.sql.tasks import TaskLocks
from worker.conductor.backoff import wait_before
from worker.conductor.client import Conductor
from worker.conductor.errors import ConductorError, NotSent, Refused
from worker.delivery.outcomes import FRESH, claim_lasts
from worker.leader.heartbeat import Heartbeat
from worker.leader.task_index import WaitingTask
from worker.leader.timer_agenda import Timer, TimerAgenda

log = structlog.get_logger()

_THREADS = 16
_FAILING = _THREADS // 2
"""Most extensions in flight for tasks whose last one failed, so that those that hang hold up no other."""
_IN_HAND = 128
"""Most extensions that are in flight or wait for a thread: few enough that the most urgent ones always come next."""
_PAGE = 2000
_LEFT_OVER = 1000
"""Timers of tasks that no longer wait, beyond as many as there are others, after which they are looked for."""
_SOONEST = 0.2
"""Minimum seconds between two tries."""
PATIENCE = 0.1
"""Seconds that a decision waits for extensions in flight. Each takes a few milliseconds unless it hangs."""


class TaskTimeouts:
    """Extends each time-out a third of its length after the last extension; after a failure, several times sooner.

    Conductor reads a task, changes it and writes it back, so an extension could undo a concurrent completion. So no
    task is given to an event while its extension is in flight, or else its completion isn't due until that has ended.
    While a taken task is extended, its completion is locked in the store against all workers; and no task is extended
    while its completion may be in flight.
    """

    def __init__(
        self,
        conductor: Conductor,
        locks: TaskLocks,
        clock: Clock,
        worker_id: str,
        pool: Executor | None = None,
        patience: float = PATIENCE,
        steady: MonotonicClock = time,
    ):
        """`patience`: seconds that a decision waits for extensions in flight."""
        self._conductor = conductor
        self._locks = locks
        self._clock = clock
        self._worker_id = worker_id
        self._pool = pool or ThreadPoolExecutor(_THREADS, thread_name_prefix="time-outs")
        self._patience = patience
        self._steady = steady
        self._changed = threading.Condition()
        # Guards everything below.
        self._timers: dict[str, Timer] = {}
        self._agenda = TimerAgenda()
        """Those that aren't running; and some that were forgotten since."""
        self._running: set[Timer] = set()
        self._most = _LEFT_OVER
        self._extending: set[str] = set()
        """Waiting tasks with an extension in flight."""
        self._being_given: Collection[str] = ()

    def load(self) -> None:
        """Reads which tasks events have taken. Raises StoreUnavailable."""
        after = ""
        while page := self._locks.taken_in_time(after, _PAGE):
            with self._changed:
                for task in page:
                    self._add(Timer(task, self._steady.monotonic(), taken=True))
            after = page[-1].id

    def _add(self, timer: Timer) -> None:
        self._timers[timer.task.id] = timer
        self._agenda.add(timer)

    def extend(
        self, new: Iterable[WaitingTask], waiting: Container[str], receivers: Container[str], heartbeat: Heartbeat
    ) -> None:
        """Begins the extensions that are due, of waiting tasks of these workflows and of taken ones.

        `new`: the tasks that began to wait since the last call, and those of workflows that weren't `receivers` then.
        `waiting` returns the ids of the tasks that wait at any time. No request for one of them leaves once the term is
        no longer certain: another leader may then give the task to an event.
        """

        def waits(task_id: str) -> bool:
            return not heartbeat.over and task_id in waiting

        now = self._steady.monotonic()
        with self._changed:
            for task in new:
                if task.id not in self._timers:
                    self._add(Timer(task, now))
            if len(self._timers) > self._most:
                self._forget_others(waits)
            failing = sum(timer.failures > 0 for timer in self._running)
            chosen = [
                *self._take(now, False, _IN_HAND - len(self._running), waits, receivers),
                *self._take(now, True, _FAILING - failing, waits, receivers),
            ]
            for timer in chosen:
                timer.running = True
            self._running.update(chosen)
        self._begin(chosen, waits, heartbeat)

    def _take(
        self, now: float, failing: bool, most: int, waits: Callable[[str], bool], receivers: Container[str]
    ) -> list[Timer]:
        """The next due timers, `most` at most; forgets those on the way that aren't needed any more."""
        found: list[Timer] = []
        while len(found) < most and (timer := self._agenda.next(now, failing)) is not None:
            task_id = timer.task.id
            if self._timers.get(task_id) is not timer:
                continue
            if waits(task_id):
                timer.taken = False
                is_needed = timer.task.workflow in receivers
            else:
                is_needed = timer.taken or task_id in self._being_given
            if is_needed:
                found.append(timer)
            else:
                del self._timers[task_id]
        return found

    def _forget_others(self, waits: Callable[[str], bool]) -> None:
        """Forgets the timers of tasks that no longer wait, which may be due only in days."""
        for timer in list(self._timers.values()):
            task_id = timer.task.id
            if not (timer.taken or timer.running or task_id in self._being_given or waits(task_id)):
                del self._timers[task_id]
        self._agenda = TimerAgenda()
        for timer in self._timers.values():
            if not timer.running:
                self._agenda.add(timer)
        self._most = 2 * len(self._timers) + _LEFT_OVER

    def _begin(self, chosen: Sequence[Timer], waits: Callable[[str], bool], heartbeat: Heartbeat) -> None:
        for number, timer in enumerate(chosen):
            try:
                self._pool.submit(self._put_off, timer, waits, heartbeat)
            except RuntimeError as error:  # no thread could be started; the pool has queued this one all the same
                log.error("time-outs can't be extended now", error=str(error))
                with self._changed:
                    for other in chosen[number + 1 :]:
                        other.running = False
                        self._running.discard(other)
                        self._agenda.add(other)
                return

    # --- on the pool's threads ---

    def _put_off(self, timer: Timer, waits: Callable[[str], bool], heartbeat: Heartbeat) -> None:
        try:
            if timer.taken:
                self._put_off_taken(timer)
            else:
                self._put_off_waiting(timer, waits, heartbeat)
        except Exception as error:
            self._again(timer)
            if isinstance(error, StoreUnavailable):
                log.warning("could not extend a taken task's time-out", task_id=timer.task.id, error=str(error))
            else:
                log.exception("extending a task's time-out failed unexpectedly", task_id=timer.task.id)
        finally:
            with self._changed:
                timer.running = False
                self._running.discard(timer)
                if self._timers.get(timer.task.id) is timer:
                    self._agenda.add(timer)

    def _put_off_waiting(self, timer: Timer, waits: Callable[[str], bool], heartbeat: Heartbeat) -> None:
        task_id = timer.task.id
        with self._changed:
            if task_id in self._being_given or not waits(task_id):
                timer.due = self._steady.monotonic() + _SOONEST
                return
            self._extending.add(task_id)
        try:
            self._call(timer, heartbeat.certain_until)
        finally:
            with self._changed:
                self._extending.discard(task_id)
                self._changed.notify_all()

    def _put_off_taken(self, timer: Timer) -> None:
        task_id = timer.task.id
        began = self._steady.monotonic()  # first: this thread may be held up before it has the other time
        now = self._clock.now()
        # Any call under an older claim has ended, so it can't overlap with this one.
        free_before = now - int(claim_lasts(self._conductor.timeout) * 1000)
        locked, over = self._locks.lock(self._worker_id, [task_id], now, free_before)
        if task_id in over:
            with self._changed:
                self._timers.pop(task_id, None)
        elif not locked:  # the completion is in flight
            self._again(timer)
        else:
            try:
                self._call(timer, began + FRESH)
            finally:
                left = int(1000 * max(0.0, timer.effect_until - self._steady.monotonic()))
                due_at = max(locked[0].due_at, self._clock.now() + left) if left else locked[0].due_at
                self._locks.unlock(self._worker_id, [(locked[0], due_at)])

    def _call(self, timer: Timer, not_after: float) -> None:
        task, began = timer.task, self._steady.monotonic()
        try:
            self._conductor.within(timer.within).extend_lease(task.id, task.workflow_id, not_after)
        except ConductorError as error:
            log.warning(
                "could not extend a task's time-out", task_id=task.id, workflow_id=task.workflow_id, error=str(error)
            )
            if not isinstance(error, (NotSent, Refused)):
                timer.effect_until = self._steady.monotonic() + self._conductor.timeout
            self._again(timer)
        else:
            timer.failures = 0
            timer.due = began + task.response_timeout / 3

    def _again(self, timer: Timer) -> None:
        timer.failures += 1
        pause = min(timer.task.response_timeout / 12, wait_before(timer.failures))
        timer.due = self._steady.monotonic() + max(_SOONEST, pause)

    # --- decisions ---

    @contextmanager
    def suspended(self, tasks: Collection[WaitingTask]) -> Iterator[dict[str, int]]:
        """Begins no extension of these waiting tasks while the block gives them to events.

        Yields the times, by the store's clock, before which some may not be completed because an extension may still be
        taking effect. At the end the tasks count as taken, unless the decision failed.
        """
        timed = {task.id: task for task in tasks if task.response_timeout}
        with self._changed:
            self._being_given = timed
            self._changed.wait_for(lambda: self._extending.isdisjoint(timed), self._patience)
            now = self._steady.monotonic()
            not_before: dict[str, int] = {}
            for timer in (self._timers[task_id] for task_id in timed if task_id in self._timers):
                hangs = timer.task.id in self._extending
                until = now + timer.within + self._conductor.timeout if hangs else timer.effect_until
                if until > now:
                    not_before[timer.task.id] = self._clock.now() + int(1000 * (until - now)) + 1
        given = False
        try:
            yield not_before
            given = True
        finally:
            with self._changed:
                self._being_given = ()
                for task in timed.values() if given else ():
                    if task.id not in self._timers:
                        self._add(Timer(task, self._steady.monotonic() + task.response_timeout / 3))
                    self._timers[task.id].taken = True

    def finish(self) -> bool:
        """Forgets all tasks, once the term is over; returns whether no extension of a waiting one is still in
        flight."""
        with self._changed:
            self._timers.clear()
            self._agenda = TimerAgenda()
            return self._changed.wait_for(lambda: not self._extending, 1.0)
