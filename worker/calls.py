"""Claims targets, has them called on threads, and records what came of it (`worker.outcomes` is one target's call)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from events.records import Event, Result, Target
from events.store import NO_PACES, Claims, StoreUnavailable
from worker import metrics
from worker.backoff import wait_before
from worker.conductor import Conductor, OutcomeUnknown
from worker.health import Health
from worker.outcomes import TakenOver, TargetCalls, claim_lasts

log = structlog.get_logger()

THREADS = 16
"""Calls at a time: as many as keep a Conductor server on two cores busy."""
_IN_HAND = 2 * THREADS
_RECORD_EVERY = 0.05
"""Seconds between commits of results: results are recorded in batches, which costs the server's neighbour less."""
_LOOK_EVERY = 0.25
"""Seconds between looks for targets that are due, when nothing else says that there are."""
_LAST_WORDS = 5.0
"""Seconds that a worker that stops tries to record its results in a store that can't be used."""


class Caller:
    """Makes the calls for targets that this worker has claimed, and claims more while it has threads free."""

    def __init__(
        self,
        store: Claims,
        conductor: Conductor,
        worker_id: str,
        output: Callable[[Event], dict[str, Any]],
        health: Health,
        paces: Callable[[], Mapping[str, float]] = lambda: NO_PACES,
    ):
        """`output` makes the payload that tasks and workflows receive; `paces` gives webhook → calls a second."""
        self._store = store
        self._conductor = conductor
        self._worker_id = worker_id
        self._calls = TargetCalls(store, conductor, worker_id, output)
        self._health = health
        self._paces = paces
        self._next_turn = float("inf")
        """When the next target may be claimed that waits for its webhook's pace, in Unix milliseconds."""
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="target")
        self._thread = threading.Thread(target=self._run, name="caller", daemon=True)
        self._changed = threading.Condition()
        self._results: deque[Result] = deque()
        self._in_hand = 0
        self._look = False
        self._hurry = False
        self._stopping = False
        self._down_until = 0.0
        self._failures = 0

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
            self._pool.submit(self._make, target, event)

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
            self._health.beat("the caller")
            with self._changed:
                if not (self._results or self._look or self._stopping):
                    self._changed.wait(min(0.5, max(0.0, self._next_turn / 1000 - time.time())))
                finished = self._stopping and self._in_hand == 0
            if finished:
                give_up = min(give_up, time.monotonic() + _LAST_WORDS)
            try:
                recorded = self._record()
                now = time.monotonic()
                # What was recorded left room: it is filled at once, so that no thread waits for work.
                if not self._stopping and (recorded or self._look or self._is_time(now - last_look)):
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

    def _is_time(self, since_last_look: float) -> bool:
        return since_last_look > _LOOK_EVERY or time.time() * 1000 >= self._next_turn

    def _claim(self) -> None:
        self._next_turn = float("inf")
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
        lasts = claim_lasts(self._conductor.longest_call)
        paces = self._paces()
        targets = self._store.claim(self._worker_id, now, now - int(lasts * 1000), free, paces)
        turn = self._store.next_due(paces) if paces else None
        if turn is not None and turn > now:  # what is due already waits for a free thread, not for its turn
            self._next_turn = turn
        if targets:
            events = self._store.events_of([target.event_id for target in targets])
            self.submit([(target, events[target.event_id]) for target in targets])

    def _record(self) -> bool:
        """Records what there is; whether there was anything."""
        results = list(self._results)
        if not results:
            return False
        self._store.record_results(self._worker_id, results, int(time.time() * 1000))
        for _ in results:
            self._results.popleft()
        return True

    # --- the threads that call ---

    def _make(self, target: Target, event: Event) -> None:
        started = time.monotonic()
        result: Result | None
        try:
            if self._stopping:
                result = Result(target, "pending", "the worker was stopped", due_at=int(time.time() * 1000))
            else:
                outcome = self._calls.outcome(target, event)
                result = outcome.result
                self._learn(outcome.conductor)
        except TakenOver:
            log.warning("another worker has taken a target over", target=target.id, event_id=event.id)
            result = None
        except Exception as error:  # a bug must not lose the target: it is tried again, and looked up first
            log.exception("a target's call failed unexpectedly", target=target.id, event_id=event.id)
            result = self._calls.again(target, OutcomeUnknown(f"{type(error).__name__}: {error}"))
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

    def _learn(self, conductor: str) -> None:
        if conductor == "answered":
            self.conductor_is_up()
        elif conductor == "unreachable" and time.monotonic() >= self._down_until:
            self._failures += 1
            self._down_until = time.monotonic() + wait_before(self._failures)
            metrics.conductor_up(False)
