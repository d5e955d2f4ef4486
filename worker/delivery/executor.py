"""Claims targets, calls Conductor for them on threads, and records what came of it (see `outcomes`)."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Protocol

import structlog

from store.deadline import within
from store.protocols import NO_PACES, StoreUnavailable
from store.records import Event, Target
from store.tracing import in_logs
from worker import metrics
from worker.conductor.backoff import wait_before
from worker.conductor.client import Conductor
from worker.delivery.outcomes import CallStore, Outcome, TakenOver, TargetCalls, claim_lasts
from worker.delivery.recording import Recording, ResultStore
from worker.delivery.slots import PAYLOAD, PUT_OFF, Group, InHand, Place, Places
from worker.health import Health

log = structlog.get_logger()

CALLS = 16
"""Calls at a time where BRIDGE_CALLS isn't known: as many as keep a Conductor server on two cores busy."""
_RECORD_EVERY = 0.05
"""Seconds between commits of results: results are recorded in batches, which costs the server's neighbour less."""
_RECORD_LAST = 0.005
"""The same when no more than one result is still to come."""
_LOOK_EVERY = 0.25
"""Seconds between looks for targets that are due, when nothing else says that there are."""
_READ_AT_ONCE = 8
"""Targets whose events are read at once."""
_TRY_AGAIN = 0.5
"""Seconds until the store is tried again."""
CALLS_END = 5.0
"""Seconds that a worker that stops waits for its calls: what becomes of the others is looked up by whoever claims
them."""
LAST_WORDS = 6.5
"""Seconds after which a worker that stops gives up to record its results in a store that can't be used."""
_STORE_AT_LAST = 1.5
"""Seconds for one step in the store meanwhile."""


class CallerStore(CallStore, ResultStore, Protocol):
    """What the caller needs of the store."""


class Executor:
    """Makes the calls for targets that this worker has claimed, and claims more while it has room.

    One thread owns what it knows: which targets are in hand, what is to be recorded, whether Conductor is away. All
    others send it messages: `submit`, `look`, `conductor_is_up`, `stop`, and each call its outcome.
    """

    def __init__(
        self,
        store: CallerStore,
        conductor: Conductor,
        worker_id: str,
        output: Callable[[Event], str],
        health: Health,
        paces: Callable[[], Mapping[str, float]] = lambda: NO_PACES,
        calls: int = CALLS,
        pool: Pool | None = None,
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
        self._places = Places(calls)
        self._pool = pool or ThreadPoolExecutor(self._places.most, thread_name_prefix="target")
        self._thread = threading.Thread(target=self._run, name="caller", daemon=True)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # All of the following is the owning thread's.
        self._waiting: list[InHand] = []
        """Claimed, and waiting for a place."""
        self._recording = Recording(store, worker_id)
        self._look = False
        self._hurry = False
        self._stopping = False
        self._stopped_at = float("inf")
        self._last = False
        """Whether nobody submits any more."""
        self._down_until = 0.0
        self._failures = 0
        self._look_at = self._wait_until = float("-inf")
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
            self._inbox.put(partial(self._begin, [InHand(target, event) for target, event in claimed]))

    def look(self) -> None:
        """There may be unclaimed targets."""
        self._inbox.put(self._look_soon)

    def conductor_is_up(self) -> None:
        """Conductor answers: what only waited for it is due now."""
        if self._down_until:  # it is called often, and then says nothing new
            self._inbox.put(self._conductor_answers)

    def wind_up(self) -> None:
        """Claims and begins no more; for signal handlers too. What is still submitted is given back."""
        self._inbox.put(self._wind_up)

    def ask_to_stop(self) -> None:
        """Nothing is submitted any more: it ends when the calls in hand have, and are recorded."""
        self._inbox.put(self._stop)

    def stop(self, seconds: float = LAST_WORDS + 2) -> None:
        """Asks it to stop, and returns when it has; after so many seconds in any case."""
        self.ask_to_stop()
        self._thread.join(seconds)
        self._pool.shutdown(wait=False)

    # --- the owning thread ---

    def _run(self) -> None:
        while not self.ended:
            self._health.beat("the caller")
            self.take_messages(self.patience(time.monotonic()))
            self.work(time.monotonic())

    @property
    def _in_hand(self) -> int:
        return len(self._places) + len(self._waiting)

    @property
    def ended(self) -> bool:
        """Whether it was stopped, and nothing is left to be done."""
        return self._last and not (self._in_hand or len(self._recording))

    def patience(self, now: float) -> float:
        """Seconds that may pass until `work`, if no message comes."""
        if len(self._recording):
            begin = self._recording.done_at + (_RECORD_EVERY if self._in_hand > 1 else _RECORD_LAST)
        elif self._look and not self._stopping:
            begin = now
        elif self._stopping:
            calls_end = self._stopped_at + CALLS_END if len(self._places) else float("inf")
            begin = min(now + _LOOK_EVERY, calls_end)
        else:
            begin = self._look_at
        begin = max(begin, self._wait_until)
        if self._waiting:  # as soon as a call hangs, its place is for one of them
            begin = min(begin, self._places.next_change(now))
        return max(0.0, begin - now)

    def take_messages(self, seconds: float) -> None:
        """Does what messages ask for; waits up to `seconds` for the first one."""
        try:
            message = self._inbox.get(timeout=seconds) if seconds > 0 else self._inbox.get_nowait()
            while True:
                try:
                    message()
                except Exception:  # without this thread nothing would be called any more
                    log.exception("a message to the caller failed unexpectedly")
                message = self._inbox.get_nowait()
        except queue.Empty:
            pass
        self._count(time.monotonic())

    def work(self, now: float) -> None:
        """Records results and claims targets, if it is time for that: `now` is by `time.monotonic`."""
        if self.patience(now) > 0:
            return
        try:
            self._fill_places(now)
            if now < self._wait_until:
                return
            with within(_STORE_AT_LAST) if self._stopping else nullcontext():
                recorded = self._recording.run()
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
        finally:
            self._give_up_after(now)
            self._count(now)

    def _count(self, now: float) -> None:
        room = self._room(now)
        self.free = 0 if self._stopping or self._down_until else max(0, room)

    def _room(self, now: float) -> int:
        """How many more targets may be in hand. Those whose group hangs are in nobody's way."""
        hanging = self._places.hanging(now)
        waiting = sum(one.group not in hanging for one in self._waiting)
        if self._payload(now) >= PAYLOAD:
            return 0
        return self._at_most - self._places.prompt(now) - waiting

    def _payload(self, now: float) -> int:
        """Characters of payload in hand, besides what hangs: that is in nobody's way."""
        hanging = self._places.hanging(now)
        waiting = (one for one in self._waiting if one.group not in hanging)
        return sum({one.event.id: len(one.event.payload) for one in (*waiting, *self._places.in_time(now))}.values())

    def _give_up_after(self, now: float) -> None:
        """A worker that stops waits neither for its calls nor for its store for ever: claims run out, and what became
        of the calls is looked up."""
        if len(self._places) and now >= self._stopped_at + CALLS_END:
            log.error("calls that hang are left: what becomes of them will be looked up", targets=len(self._places))
            self._places.clear()
        if len(self._recording) and now >= self._stopped_at + LAST_WORDS:
            log.error("results aren't recorded: the calls will be looked up", targets=len(self._recording))
            self._recording.clear()

    def _claim(self, now: float) -> None:
        room = self._room(now)
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
        room = PAYLOAD - self._payload(now)
        while targets:  # in parts: what their payloads take is known only when they are read
            part, targets = self._with_events(targets[:_READ_AT_ONCE]), targets[_READ_AT_ONCE:]
            room -= sum({one.event.id: len(one.event.payload) for one in part}.values())
            self._begin(part)
            if room <= 0:
                for target in targets:
                    self._recording.give_back(target)
                return

    def _with_events(self, targets: Sequence[Target]) -> list[InHand]:
        """The targets with their events; one whose event can't be read is set aside."""
        try:
            events = self._store.events_of(list({target.event_id: None for target in targets}))
        except StoreUnavailable:
            raise
        except Exception as error:
            if len(targets) > 1:  # one of them is what can't be read
                half = len(targets) // 2
                return self._with_events(targets[:half]) + self._with_events(targets[half:])
            reason = f"its event can't be read: {type(error).__name__}: {error}"
            self._recording.set_aside(targets[0], None, reason)
            return []
        for target in targets:
            if target.event_id not in events:
                self._recording.set_aside(target, None, "its event isn't in the store")
        return [InHand(target, events[target.event_id]) for target in targets if target.event_id in events]

    def _fill_places(self, now: float) -> None:
        """Begins the calls that have a place now."""
        waiting, self._waiting = self._waiting, []
        groups: Counter[Group] = Counter()
        for one in waiting:
            verdict = self._places.verdict(one.group, one.target.attempts > 1, groups[one.group], now)
            if verdict == "now":
                place = self._places.begin(one, now)
                try:
                    self._pool.submit(self._make, one.target, one.event, place)
                except RuntimeError as error:  # no more threads can be started
                    log.error("a target's call can't be begun", target=one.target.id, error=str(error))
                    self._places.end(place, True, now)
                    self._recording.give_back(one.target, self._store.now() + int(PUT_OFF * 1000))
            elif verdict == "wait":
                groups[one.group] += 1
                self._waiting.append(one)
            else:
                self._recording.give_back(one.target, self._store.now() + int(PUT_OFF * 1000))
                # The next ones of the longest due are likely to be of this group too.
                self._look_at = max(self._look_at, now + _LOOK_EVERY)

    # --- what messages ask for ---

    def _begin(self, claimed: list[InHand]) -> None:
        if self._stopping:
            for one in claimed:
                self._recording.give_back(one.target)
        else:
            self._waiting += claimed
            self._fill_places(time.monotonic())

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

    def _wind_up(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._stopped_at = time.monotonic()
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                self._recording.give_back(one.target)

    def _stop(self) -> None:
        self._wind_up()
        self._last = True

    def _ended(self, place: Place, one: InHand, outcome: Outcome | None) -> None:
        """A call has ended; without an outcome it wasn't begun."""
        clear = outcome is not None and (outcome.conductor == "answered" or outcome.result.state != "pending")
        self._places.end(place, clear, time.monotonic())
        if outcome is None:
            self._recording.give_back(one.target)
        elif outcome.aside is not None:
            self._recording.set_aside(one.target, one.event.webhook, outcome.aside)
        else:
            self._recording.add(outcome.result, one.event.webhook)
            if outcome.conductor == "answered":
                self._conductor_answers()
            elif outcome.conductor == "unreachable":
                self._conductor_is_away()
        self._fill_places(time.monotonic())

    def _taken_over(self, place: Place) -> None:
        self._places.end(place, True, time.monotonic())
        self._fill_places(time.monotonic())

    # --- the threads that call ---

    def _make(self, target: Target, event: Event, place: Place) -> None:
        started = time.monotonic()
        message: Callable[[], None] = partial(self._ended, place, InHand(target, event), None)
        outcome: Outcome | None = None
        try:
            if not self._stopping:
                outcome = self._calls.outcome_for_certain(target, event)
                message = partial(self._ended, place, InHand(target, event), outcome)
        except TakenOver:
            message = partial(self._taken_over, place)
            log.warning("another worker has taken a target over", target=target.id, event_id=event.id)
        finally:
            # The message comes first: whatever goes wrong below, the target is not in hand for ever.
            self._inbox.put(message)
        if outcome is None:
            return
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
