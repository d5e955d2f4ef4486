"""Calls Conductor for the targets: claim in the store → call → record.

A target's effect must happen exactly once. A first call is made under a claim that was written before; after anything
but a clear answer Conductor is asked what has become of it, and not before the call's time-out has passed: a lost
call may still be taking effect.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import structlog
from tenacity.wait import wait_exponential, wait_random

from events.records import Event, Result, Target
from events.store import StoreUnavailable, WorkStore
from worker import metrics
from worker.conductor import Conductor, ConductorError, NotNow, NotSent, OutcomeUnknown, Refused, Unreachable

log = structlog.get_logger()

THREADS = 16
"""Calls at a time: as many as keep a Conductor server on two cores busy."""
_IN_HAND = 2 * THREADS
_RECORD_EVERY = 0.05
"""Seconds between commits of results: results are recorded in batches, which costs the server's neighbour less."""
_LOOK_EVERY = 0.25
"""Seconds between looks for targets that are due, when nothing else says that there are."""
_FRESH = 2.0
"""Seconds after a claim within which a request must leave; when half of them are over the claim is renewed first."""
_LAST_WORDS = 5.0
"""Seconds that a worker that stops tries to record its results in a store that can't be used."""
_backoff = wait_exponential(multiplier=0.25, max=15) + wait_random(0, 0.25)


def claim_lease(longest_call: float) -> float:
    """Seconds after which a claim of a worker that shows no result may go to another.

    A request leaves while its claim is fresh, and its call has ended after `longest_call` seconds: nothing of it can
    still be on its way.
    """
    return longest_call + _FRESH + 1


class _TakenOver(Exception):
    """Another worker has claimed the target meanwhile; its result counts."""


class Deliverer:
    """Makes the calls for targets that this worker has claimed, and claims more while it has threads free."""

    def __init__(
        self,
        store: WorkStore,
        conductor: Conductor,
        worker_id: str,
        output: Callable[[Event], dict[str, Any]],
        for_decider: Callable[[], None],
    ):
        """`output` makes the payload that tasks and workflows receive; `for_decider` is called when results left it
        something."""
        self._store = store
        self._conductor = conductor
        self._worker_id = worker_id
        self._output = output
        self._for_decider = for_decider
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="target")
        self._thread = threading.Thread(target=self._run, name="deliverer", daemon=True)
        self._changed = threading.Condition()
        self._results: deque[Result] = deque()
        self._in_hand = 0
        self._look = False
        self._hurry = False
        self._stopping = False
        self._down_until = 0.0
        self._failures = 0
        self._began = int(time.time() * 1000)

    def start(self) -> None:
        """Begins to claim and call."""
        self._thread.start()

    def stop(self) -> None:
        """Finishes the calls in hand, records them, and gives back what wasn't begun."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._pool.shutdown(wait=True)
        self._thread.join()

    def free(self) -> int:
        """How many targets it could take now."""
        return 0 if self._stopping or self._down_until else max(0, _IN_HAND - self._in_hand)

    def submit(self, claimed: Sequence[tuple[Target, Event]]) -> None:
        """Calls for targets that were claimed for this worker."""
        with self._changed:
            self._in_hand += len(claimed)
        for target, event in claimed:
            self._pool.submit(self._deliver, target, event)

    def look(self) -> None:
        """There may be unclaimed targets."""
        with self._changed:
            self._look = True
            self._changed.notify_all()

    def conductor_is_up(self) -> None:
        """Conductor answers again: what only waited for it is due now."""
        if self._down_until:
            self._down_until, self._failures = 0.0, 0
            self._hurry = True
            self.look()

    # --- the thread that claims and records ---

    def _run(self) -> None:
        last_look = 0.0
        give_up = float("inf")
        while True:
            with self._changed:
                if not (self._results or self._look or self._stopping):
                    self._changed.wait(0.5)
                finished = self._stopping and self._in_hand == 0
            if finished:
                give_up = min(give_up, time.monotonic() + _LAST_WORDS)
            try:
                recorded = self._record()
                now = time.monotonic()
                # What was recorded left room: it is filled at once, so that no thread waits for work.
                if not self._stopping and (recorded or self._look or now - last_look > _LOOK_EVERY):
                    self._look = False
                    last_look = now
                    self._claim()
            except Exception as error:
                if isinstance(error, StoreUnavailable):
                    log.error("the store can't be used; trying again", error=str(error))
                else:  # without this thread nothing would be delivered any more
                    log.exception("claiming and recording failed unexpectedly; trying again")
                if time.monotonic() > give_up:
                    log.error("results aren't recorded: the calls will be looked up", targets=len(self._results))
                    return
                time.sleep(0.5)
                continue
            if finished and not self._results:
                return
            if self._results or self._in_hand:
                time.sleep(_RECORD_EVERY if self._in_hand > 1 else 0.005)

    def _claim(self) -> None:
        free = _IN_HAND - self._in_hand
        if self._down_until:
            # While Conductor is away one call at a time tries whether it is back.
            if time.monotonic() < self._down_until:
                return
            free = min(free, 1)
        if free <= 0:
            return
        now = int(time.time() * 1000)
        if self._hurry:
            self._store.hurry(now)
            self._hurry = False
        lease = claim_lease(self._conductor.longest_call)
        targets = self._store.claim(self._worker_id, now, now - int(lease * 1000), free)
        if targets:
            events = self._store.events_of([target.event_id for target in targets])
            self.submit([(target, events[target.event_id]) for target in targets])

    def _record(self) -> bool:
        """Records what there is; whether there was anything."""
        results = list(self._results)
        if not results:
            return False
        if self._store.settle(self._worker_id, results, int(time.time() * 1000)):
            self._for_decider()
        for _ in results:
            self._results.popleft()
        return True

    # --- the threads that call ---

    def _deliver(self, target: Target, event: Event) -> None:
        started = time.monotonic()
        result: Result | None
        try:
            if self._stopping:
                result = Result(target, "pending", "the worker was stopped", due_at=int(time.time() * 1000))
            else:
                result = self._result(target, event)
        except _TakenOver:
            log.warning("another worker has taken a target over", target=target.id, event_id=event.id)
            result = None
        except Exception as error:  # a bug must not lose the target: it is tried again, and looked up first
            log.exception("a target's call failed unexpectedly", target=target.id, event_id=event.id)
            result = self._again(target, OutcomeUnknown(f"{type(error).__name__}: {error}"))
        if result is not None:
            metrics.target_call(target, result, time.monotonic() - started, event)
            log.log(
                30 if result.state in ("failed", "pending") else 20,
                f"target {result.state}",
                event_id=event.id,
                webhook=event.webhook,
                kind=target.kind,
                workflow=target.workflow,
                workflow_id=result.workflow_id or target.workflow_id,
                task_id=target.task_id,
                attempt=target.attempts,
                **({"error": result.error} if result.error else {}),
            )
        with self._changed:
            if result is not None:
                self._results.append(result)
            self._in_hand -= 1
            self._changed.notify_all()

    def _result(self, target: Target, event: Event) -> Result:
        try:
            result = self._call(target, event)
        except Refused as error:
            return Result(target, "failed", str(error))
        except ConductorError as error:
            if isinstance(error, Unreachable) and time.monotonic() >= self._down_until:
                self._failures += 1
                self._down_until = time.monotonic() + wait_before(self._failures)
                metrics.conductor_up(False)
            return self._again(target, error)
        self.conductor_is_up()
        return result

    def _again(self, target: Target, error: ConductorError) -> Result:
        due = time.time() + wait_before(target.attempts)
        if not isinstance(error, NotSent):
            due = max(due, time.time() + self._conductor.timeout)
        return Result(target, "pending", str(error), due_at=int(due * 1000), not_sent=isinstance(error, Unreachable))

    def _call(self, target: Target, event: Event) -> Result:
        # A start leaves no trace in the task that would be waiting no more. So of an event from before this worker's
        # time one is looked up even at the first try: the store may be a backup from before that start.
        if target.attempts > 1 or (target.kind == "start" and event.received_at < self._began):
            try:
                known = self._look_up(target)
            except NotSent:
                raise
            except ConductorError as error:  # what matters is that nothing was done this time
                raise NotNow(f"what became of an earlier try can't be looked up: {error}") from error
            if known is not None:
                return known
        payload = self._output(event)
        not_after = self._fresh_until(target)
        if target.kind == "start":
            assert target.correlation_id is not None
            workflow_id = self._conductor.start(
                target.workflow, target.version, payload, target.correlation_id, not_after
            )
            return Result(target, "done", workflow_id=workflow_id)
        assert target.workflow_id is not None and target.reference_name is not None and target.task_id is not None
        completed = self._conductor.complete(
            target.workflow_id, target.reference_name, payload, target.event_id, not_after
        )
        if completed is None:
            known = self._look_up(target)
            if known is None:
                raise OutcomeUnknown("Conductor says that no such task was pending, and that it still is")
            return known
        if completed != target.task_id:
            # The task had timed out and was tried again under the same name: Conductor gave the event to that one.
            status = self._conductor.task(completed)
            if status is None or status.worker_id != target.event_id:
                raise OutcomeUnknown(f"the answer names another task, {completed}")
            log.warning("completed the task's retry", task_id=target.task_id, retry=completed, event_id=event.id)
        return Result(target, "done")

    def _fresh_until(self, target: Target) -> float:
        """Until when by `time.monotonic` a request may leave under the target's claim, which is renewed if need be.

        Raises _TakenOver if another worker has the target.
        """
        age = time.time() - (target.claimed_at or 0) / 1000
        if 0 <= age < _FRESH / 2:
            return time.monotonic() + _FRESH - age
        fresh_until = time.monotonic() + _FRESH
        if not self._store.renew_claim(self._worker_id, target, int(time.time() * 1000)):
            raise _TakenOver
        return fresh_until

    def _look_up(self, target: Target) -> Result | None:
        """What has become of an earlier call; None if it had no effect and the target is still to be hit."""
        if target.kind == "start":
            assert target.correlation_id is not None
            workflow_id = self._conductor.started(target.workflow, target.correlation_id)
            return Result(target, "done", workflow_id=workflow_id) if workflow_id else None
        assert target.task_id is not None
        status = self._conductor.task(target.task_id)
        if status is None:
            return Result(target, "cancelled", "Conductor has no such task any more")
        if not status.terminal:
            return None
        if status.worker_id == target.event_id:
            return Result(target, "done")
        assert target.workflow_id is not None and target.reference_name is not None
        if target.attempts > 1 and self._conductor.completed_by(
            target.workflow_id, target.reference_name, target.event_id
        ):
            return Result(target, "done")  # an earlier try hit the retry of a task that had timed out
        return Result(target, "cancelled", "the task has ended without this event")


def wait_before(attempts: int) -> float:
    """Seconds until the next try: exponential, with jitter."""
    return float(_backoff(SimpleNamespace(attempt_number=min(attempts, 30))))  # type: ignore[arg-type]
