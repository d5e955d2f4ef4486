"""Claims targets, has them called on threads, and records what came of it (`worker.outcomes` is one target's call)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

import structlog

from events.records import Event, Result, Target
from events.store import NO_PACES, StoreUnavailable
from events.tracing import in_logs, span
from worker import metrics
from worker.backoff import wait_before
from worker.conductor import Conductor, OutcomeUnknown
from worker.health import Health
from worker.outcomes import CallStore, Outcome, TakenOver, TargetCalls, claim_lasts

log = structlog.get_logger()

CALLS = 16
"""Calls at a time where BRIDGE_CALLS isn't known: as many as keep a Conductor server on two cores busy."""
_RECORD_EVERY = 0.05
"""Seconds between commits of results: results are recorded in batches, which costs the server's neighbour less."""
_RECORD_LAST = 0.005
"""The same when no more than one result is still to come."""
_LOOK_EVERY = 0.25
"""Seconds between looks for targets that are due, when nothing else says that there are."""
_TRY_AGAIN = 0.5
"""Seconds until the store is tried again."""
_LAST_WORDS = 5.0
"""Seconds that a worker that stops tries to record its results in a store that can't be used."""


class Caller:
    """Makes the calls for targets that this worker has claimed, and claims more while it has room.

    One thread owns what it knows: which targets are in hand, what is to be recorded, whether Conductor is away. All
    others send it messages: `submit`, `look`, `conductor_is_up`, `stop`, and each call its outcome.
    """

    def __init__(
        self,
        store: CallStore,
        conductor: Conductor,
        worker_id: str,
        output: Callable[[Event], str],
        health: Health,
        paces: Callable[[], Mapping[str, float]] = lambda: NO_PACES,
        calls: int = CALLS,
        pool: Executor | None = None,
    ):
        """`output` makes the payload that tasks and workflows receive; `paces` gives webhook → calls a second; `calls`
        are made at a time, on the `pool`."""
        self._store = store
        self._conductor = conductor
        self._worker_id = worker_id
        self._calls = TargetCalls(store, conductor, worker_id, output)
        self._health = health
        self._paces = paces
        self._at_most = 2 * calls
        self._pool = pool or ThreadPoolExecutor(calls, thread_name_prefix="target")
        self._thread = threading.Thread(target=self._run, name="caller", daemon=True)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # All of the following is the owning thread's.
        self._in_hand = 0
        self._results: list[Result] = []
        self._not_begun: list[Target] = []
        self._look = False
        self._hurry = False
        self._stopping = False
        self._down_until = 0.0
        self._failures = 0
        self._look_at = self._recorded = self._wait_until = float("-inf")
        self._give_up = float("inf")
        self.free = self._at_most
        """How many targets it could take now. Other threads may read it; it may be behind by a message."""

    def start(self) -> None:
        """Begins to claim and call, on a thread of its own."""
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether there is enough in hand. Other threads may ask."""
        return self.free <= self._at_most // 2

    # --- messages, from any thread ---

    def submit(self, claimed: Sequence[tuple[Target, Event]]) -> None:
        """Calls for targets that were claimed for this worker."""
        if claimed:
            self._inbox.put(partial(self._begin, list(claimed)))

    def look(self) -> None:
        """There may be unclaimed targets."""
        self._inbox.put(self._look_soon)

    def conductor_is_up(self) -> None:
        """Conductor answers: what only waited for it is due now."""
        if self._down_until:  # it is called often, and then says nothing new
            self._inbox.put(self._conductor_answers)

    def ask_to_stop(self) -> None:
        """Claims no more, finishes the calls in hand, records them, and gives back what wasn't begun."""
        self._inbox.put(self._stop)

    def stop(self) -> None:
        """Asks it to stop, and returns when it has."""
        self.ask_to_stop()
        self._thread.join()
        self._pool.shutdown(wait=True)

    # --- the owning thread ---

    def _run(self) -> None:
        while not self.ended:
            self._health.beat("the caller")
            self.take_messages(self.patience(time.monotonic()))
            self.work(time.monotonic())

    @property
    def ended(self) -> bool:
        """Whether it was stopped, and nothing is left to be done."""
        return self._stopping and not (self._in_hand or self._results or self._not_begun)

    def patience(self, now: float) -> float:
        """Seconds that may pass until `work`, if no message comes."""
        if self._results or self._not_begun:
            begin = self._recorded + (_RECORD_EVERY if self._in_hand > 1 else _RECORD_LAST)
        elif self._look and not self._stopping:
            begin = now
        else:
            begin = self._look_at if not self._stopping else now + _LOOK_EVERY
        return max(0.0, max(begin, self._wait_until) - now)

    def take_messages(self, seconds: float) -> None:
        """Does what messages ask for; waits up to `seconds` for the first one."""
        try:
            message = self._inbox.get(timeout=seconds) if seconds > 0 else self._inbox.get_nowait()
            while True:
                message()
                message = self._inbox.get_nowait()
        except queue.Empty:
            pass
        self._count()

    def work(self, now: float) -> None:
        """Records results and claims targets, if it is time for that: `now` is by `time.monotonic`."""
        if self.patience(now) > 0:
            return
        try:
            recorded = self._record()
            # What was recorded left room: it is filled at once, so that no thread waits for work.
            if not self._stopping and (recorded or self._look or now >= self._look_at):
                self._look = False
                self._look_at = now + _LOOK_EVERY
                self._claim(now)
        except Exception as error:
            if isinstance(error, StoreUnavailable):
                log.error("the store can't be used; trying again", error=str(error))
            else:  # without this thread nothing would be called any more
                log.exception("claiming and recording failed unexpectedly; trying again")
            self._wait_until = now + _TRY_AGAIN
            self._give_up_after(now)
        self._count()

    def _count(self) -> None:
        room = self._at_most - self._in_hand
        self.free = 0 if self._stopping or self._down_until else max(0, room)

    def _give_up_after(self, now: float) -> None:
        """A worker that stops doesn't wait for its store for ever: the claims run out, and the calls are looked up."""
        if not self._stopping or self._in_hand:
            return
        self._give_up = min(self._give_up, now + _LAST_WORDS)
        if now >= self._give_up:
            log.error("results aren't recorded: the calls will be looked up", targets=len(self._results))
            self._results.clear()
            self._not_begun.clear()

    def _record(self) -> bool:
        """Records what there is; whether there was anything."""
        results, not_begun = self._results[:], self._not_begun[:]
        if results:
            self._store.record_results(self._worker_id, results, self._store.now())
            del self._results[: len(results)]
        if not_begun:
            self._store.give_back(self._worker_id, not_begun, self._store.now())
            del self._not_begun[: len(not_begun)]
        if not (results or not_begun):
            return False
        self._recorded = time.monotonic()
        return True

    def _claim(self, now: float) -> None:
        room = self._at_most - self._in_hand
        if self._down_until:
            # While Conductor is away one call at a time tries whether it is back.
            if now < self._down_until:
                return
            room = min(room, 1)
        if room <= 0:
            return
        store_now = self._store.now()
        if self._hurry:
            self._store.hurry(store_now)
            self._hurry = False
        lasts = int(claim_lasts(self._conductor.longest_call) * 1000)
        paces = self._paces()
        targets = self._store.claim(self._worker_id, store_now, store_now - lasts, room, paces)
        turn = self._store.next_due(paces) if paces else None
        if turn is not None and turn > store_now:  # what is due already waits for a free thread, not for its turn
            self._look_at = min(self._look_at, now + (turn - store_now) / 1000)
        if targets:
            events = self._store.events_of([target.event_id for target in targets])
            self._begin([(target, events[target.event_id]) for target in targets])

    # --- what messages ask for ---

    def _begin(self, claimed: list[tuple[Target, Event]]) -> None:
        for target, event in claimed:
            if self._stopping:
                self._not_begun.append(target)
            else:
                self._in_hand += 1
                self._pool.submit(self._make, target, event)

    def _look_soon(self) -> None:
        self._look = True

    def _conductor_answers(self) -> None:
        if self._down_until:
            self._down_until, self._failures = 0.0, 0
            self._hurry = self._look = True

    def _conductor_is_away(self) -> None:
        if time.monotonic() >= self._down_until:
            self._failures += 1
            self._down_until = time.monotonic() + wait_before(self._failures)
            metrics.conductor_up(False)

    def _stop(self) -> None:
        self._stopping = True

    def _ended(self, target: Target, outcome: Outcome | None) -> None:
        """A call has ended; without an outcome it wasn't begun."""
        self._in_hand -= 1
        if outcome is None:
            self._not_begun.append(target)
            return
        self._results.append(outcome.result)
        if outcome.conductor == "answered":
            self._conductor_answers()
        elif outcome.conductor == "unreachable":
            self._conductor_is_away()

    def _taken_over(self) -> None:
        self._in_hand -= 1

    # --- the threads that call ---

    def _make(self, target: Target, event: Event) -> None:
        started = time.monotonic()
        if self._stopping:
            self._inbox.put(partial(self._ended, target, None))
            return
        try:
            about = {"webhook": event.webhook, "event_id": event.id, "workflow": target.workflow}
            with span(target.kind, "CLIENT", event.headers, attempt=target.attempts, **about) as calling:
                outcome = self._calls.outcome(target, event)
                calling.set(state=outcome.result.state)
        except TakenOver:
            log.warning("another worker has taken a target over", target=target.id, event_id=event.id)
            self._inbox.put(self._taken_over)
            return
        except Exception as error:  # a bug must not lose the target: it is tried again, and looked up first
            log.exception("a target's call failed unexpectedly", target=target.id, event_id=event.id)
            unknown = OutcomeUnknown(f"{type(error).__name__}: {error}")
            outcome = Outcome(self._calls.again(target, unknown), "unclear")
        # The message comes first: whatever goes wrong below, the target is not in hand for ever.
        self._inbox.put(partial(self._ended, target, outcome))
        result = outcome.result
        since_arrival = (self._store.now() - event.received_at) / 1000
        metrics.target_call(target, result, time.monotonic() - started, since_arrival)
        log.log(
            30 if result.state in ("failed", "pending") else 20,
            f"target {result.state}",
            event_id=event.id,
            webhook=event.webhook,
            **in_logs(event.headers),
            kind=target.kind,
            workflow=target.workflow,
            workflow_id=result.workflow_id or target.workflow_id,
            task_id=target.task_id,
            attempt=target.attempts,
            **({"error": result.error} if result.error else {}),
        )
