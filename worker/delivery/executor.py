"""Claims targets, calls Conductor for them on threads, and records the results.

A target's path through an executor::

    claim ──► wait for a slot ──► call ──► record
                   │                │
                   └── give back ◄──┘

- claim: the store gives each due target to one worker (`due_targets`). The leader claims an event's
  first targets as it decides, and submits them.
- wait: until a slot is free (`slots`): calls that hang hold up no others.
- call: on a thread of the pool (`outcomes`).
- record: in batches (`results`). A result counts only under the claim under which its call was
  made.
- give back: no call was made, because the worker stops or the target's group hangs: any worker may
  claim it again.

A target is in flight while it is claimed and neither recorded nor given back. If the process dies,
its claims run out; the next worker to claim such a target looks up its outcome in Conductor.

Stopping has two steps. `drain`, from the signal on: no more claims, no new calls; targets that wait
for a slot, or are still submitted, are given back. `stop`: nothing more is submitted, and the
executor ends once all calls have ended and are recorded. It is waited for only so long: beyond that
the process ends, as if it had died.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from store.errors import StoreUnavailable
from store.records import Event, Result, Target
from store.rules.transitions import FAILED
from store.tracing import in_logs
from worker import metrics
from worker.context import Context, Inbox
from worker.delivery.callbacks import WAITS
from worker.delivery.due_targets import CLAIM_EVERY, DueTargets
from worker.delivery.messages import NONE_RUNS
from worker.delivery.outcomes import Outcome, TargetCalls, claim_lasts
from worker.delivery.results import Results
from worker.delivery.slots import Claimed, InFlight, Slot
from worker.retries import wait_before

log = structlog.get_logger()

PAYLOAD = 32_000_000
"""Characters of payload in flight beyond which nothing more is claimed; hanging calls don't count.
"""
_RECORD_EVERY = 0.05
"""Seconds between commits of results: recording in batches leaves more of the machine to its other
processes."""
_RECORD_LAST = 0.005
"""The same if at most one result is outstanding."""
_GIVEN_BACK_FOR = 2.0
"""Seconds until a target that can't be called for because its group hangs is due again."""
_TRY_AGAIN = 0.5
"""Seconds before the store is tried again."""
_HELD = WAITS | {NONE_RUNS}
WAIT = 5.0
"""Seconds that a stop waits for calls, and for the store to record them."""


class Executor:
    """Makes the calls for targets that this worker has claimed, and claims more while there is
    room.

    One thread owns all state: which targets are in flight, what must be recorded, whether Conductor
    is away. Others send it messages: `submit`, `wake`, `conductor_is_up`, `drain`, `stop`, and each
    call its outcome.
    """

    def __init__(
        self,
        context: Context,
        worker_id: str,
        payload: int = PAYLOAD,
        pool: Pool | None = None,
    ):
        """Makes up to BRIDGE_CALLS calls at a time, on the `pool`, for up to `payload` characters
        of payload."""
        self._store = context.store
        self._calls = TargetCalls(context, worker_id)
        self._health = context.health
        self._clock = clock = context.clock
        self._in_flight = InFlight(context.settings.bridge_calls, payload)
        self._pool = pool or ThreadPoolExecutor(self._in_flight.most, thread_name_prefix="target")
        self._thread = threading.Thread(target=self._run, name="executor", daemon=True)
        self._inbox = Inbox("the executor")
        # Everything below belongs to the owning thread, as does what is in flight.
        lasts = claim_lasts(context.conductor.timeout)
        self._results = Results(context.store, worker_id, clock)
        self._due = DueTargets(
            context.store, worker_id, lasts, context.definitions, clock, self._results
        )
        self._claims_at = float("-inf")
        self._away_until = 0.0
        """When to check next whether Conductor is back; 0 while it answers."""
        self._failures = 0
        self._store_at = float("-inf")
        """When to try the store again after an error."""
        self._draining = False
        self._last = False
        """Whether nothing more will be submitted."""
        self.free = self._in_flight.at_most
        """How many targets it could take now. Other threads may read this; it may lag by a
        message."""

    def start(self) -> None:
        """Starts claiming and calling, on a separate thread."""
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether there is enough in flight. Other threads may call this."""
        return self.free <= self._in_flight.at_most // 2

    # --- messages, from any thread ---

    def submit(self, claimed: Sequence[tuple[Target, Event]]) -> None:
        """Makes the calls for targets that were claimed for this worker."""
        if claimed:
            self._inbox.put(
                partial(self._take, [Claimed(target, event) for target, event in claimed])
            )

    def wake(self) -> None:
        """There may be targets to claim."""
        self._inbox.put(self._claim_soon)

    def conductor_is_up(self) -> None:
        """Conductor answers: targets that only waited for it are due now."""
        if self._away_until:  # called often, and usually with nothing new
            self._inbox.put(self._conductor_answers)

    def drain(self) -> None:
        """No more claims and no new calls; gives back what is submitted. Safe in signal handlers."""
        self._inbox.put(self._drain)

    def ask_to_stop(self) -> None:
        """Nothing more is submitted: ends once the calls in flight have ended and are recorded."""
        self._inbox.put(self._stop)

    def stop(self, seconds: float = WAIT) -> None:
        """Stops it and waits until it has ended, at most this many seconds: then the claims run
        out, and the next worker looks up the outcomes."""
        self.ask_to_stop()
        self._thread.join(seconds)
        self._pool.shutdown(wait=False)

    # --- the owning thread ---

    def _run(self) -> None:
        self._health.keep_on("the executor", lambda: self.ended, self._once)

    def _once(self) -> None:
        self.take_messages(self.due_in(self._clock.monotonic()))
        self.work(self._clock.monotonic())

    @property
    def ended(self) -> bool:
        """Whether it was stopped, and nothing is left to do."""
        return self._last and not (len(self._in_flight) or self._results.unrecorded)

    def due_in(self, now: float) -> float:
        """Seconds until there is something to do if no message comes."""
        if self._results.unrecorded:
            at = self._results.recorded_at + self._record_every
        elif self._draining:
            at = now + CLAIM_EVERY
        else:
            at = self._claims_at
        at = max(at, self._store_at)
        if self._in_flight.waiting:  # as soon as a call hangs, one of them gets its slot
            at = min(at, self._in_flight.next_change(now))
        return max(0.0, at - now)

    @property
    def _record_every(self) -> float:
        if len(self._in_flight) > 1:
            return _RECORD_EVERY
        return _RECORD_LAST

    def take_messages(self, seconds: float) -> None:
        """Handles messages; waits up to `seconds` for the first one."""
        self._inbox.handle(seconds)
        self._count(self._clock.monotonic())

    def work(self, now: float) -> None:
        """Records results and claims targets if it is time to; `now` is by the executor's clock."""
        if self.due_in(now) > 0:
            return
        try:
            self._fill_slots(now)
            if now < self._store_at:
                return
            recorded = self._results.record()
            # Recording has made room: fill it at once, so that no thread waits for work.
            if not self._draining and (recorded or now >= self._claims_at):
                self._claims_at = now + CLAIM_EVERY
                self._claim(now)
        except Exception as error:
            if isinstance(error, StoreUnavailable):
                log.error("the store can't be used; trying again", error=str(error))
            else:  # without this thread no more calls would be made
                log.exception("claiming and recording failed unexpectedly; trying again")
            self._store_at = now + _TRY_AGAIN
        finally:
            self._count(now)

    def _count(self, now: float) -> None:
        self.free = 0
        if not self._draining and not self._away_until:
            self.free = self._in_flight.room(now)

    def _claim(self, now: float) -> None:
        left = self._in_flight.payload_left(now)
        room = self._in_flight.room(now)
        if self._away_until:
            # While Conductor is away, one call at a time checks whether it is back.
            if now < self._away_until:
                return
            room = min(room, 1)
        if room <= 0:
            return
        targets = self._due.claim(room)
        self._claims_at = now + self._due.again_in
        for claimed in self._due.with_events(targets, left):
            self._take(claimed)

    def _fill_slots(self, now: float) -> None:
        """Starts the calls that have a slot now."""
        begun, later = self._in_flight.begin(now)
        for slot in begun:
            try:
                self._pool.submit(self._call, slot)
            except RuntimeError as error:
                # No thread could be started: one of the others makes the call later.
                log.error(
                    "too few threads for calls", target=slot.claimed.target.id, error=str(error)
                )
        for one in later:
            self._results.give_back(one.target, self._store.now() + int(_GIVEN_BACK_FOR * 1000))
            # The next targets, by due time, are likely to belong to this group too.
            self._claims_at = max(self._claims_at, now + CLAIM_EVERY)

    # --- what messages ask for ---

    def _take(self, claimed: Sequence[Claimed]) -> None:
        if self._draining:
            self._give_back(claimed)
        else:
            self._in_flight.add(claimed)
            self._fill_slots(self._clock.monotonic())

    def _give_back(self, claimed: Sequence[Claimed]) -> None:
        for one in claimed:
            self._results.give_back(one.target)

    def _claim_soon(self) -> None:
        self._claims_at = float("-inf")

    def _conductor_answers(self) -> None:
        if self._away_until:
            self._away_until, self._failures = 0.0, 0
            self._due.hurry = True
            self._claim_soon()

    def _conductor_is_away(self) -> None:
        if self._clock.monotonic() >= self._away_until:
            self._failures += 1
            self._away_until = self._clock.monotonic() + wait_before(self._failures)
            metrics.CONDUCTOR_UP.set(False)

    def _drain(self) -> None:
        if not self._draining:
            self._draining = True
            self._give_back(self._in_flight.take_waiting())

    def _stop(self) -> None:
        self._drain()
        self._last = True

    def _ended(self, slot: Slot, outcome: Outcome | None) -> None:
        """A call has ended. Without an outcome, no call was made: the worker is stopping, or lost
        the claim."""
        claimed = slot.claimed
        is_clear = outcome is not None and outcome.is_clear
        self._in_flight.end(slot, is_clear, self._clock.monotonic())
        if outcome is None:
            self._results.give_back(claimed.target)
        elif outcome.aside is not None:
            self._results.set_aside(claimed.target, claimed.event.webhook, outcome.aside)
        else:
            self._results.add(outcome.result, claimed.event.webhook)
            if outcome.conductor == "answered":
                self._conductor_answers()
            elif outcome.conductor == "unreachable":
                self._conductor_is_away()
        self._fill_slots(self._clock.monotonic())

    # --- the threads that call ---

    def _call(self, slot: Slot) -> None:
        target, event = slot.claimed.target, slot.claimed.event
        started = self._clock.monotonic()
        outcome: Outcome | None = None
        try:
            if not self._draining:
                outcome = self._calls.outcome_for_certain(target, event)
        finally:
            # Send the message first: whatever goes wrong below, the target doesn't stay in flight
            # forever.
            self._inbox.put(partial(self._ended, slot, outcome))
        if outcome is None:
            return
        result = outcome.result
        since_arrival = (self._store.now() - event.received_at) / 1000
        metrics.target_call(target, result, self._clock.monotonic() - started, since_arrival)
        about: dict[str, object] = {
            "event_id": event.id,
            "webhook": event.webhook,
            **in_logs(event.headers),
            "kind": target.kind,
            "workflow": result.target.workflow,
            "workflow_id": result.workflow_id or target.workflow_id,
            "task_id": result.target.task_id,
            "attempt": target.attempts,
        }
        if result.error:
            about["error"] = result.error
        log.log(_level(target, result), f"target {result.state}", **about)


def _level(target: Target, result: Result) -> int:
    """The log's level: nothing is wrong while a message or a callback is held, and its first look-up
    says so."""
    is_held = result.error in _HELD
    if is_held and target.error in _HELD:
        return logging.DEBUG
    if result.state in {*FAILED, "pending"} and not is_held:
        return logging.WARNING
    return logging.INFO
