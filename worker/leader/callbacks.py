"""Events that came by a callback's URL: held until the task that the URL names can be completed.

A WAIT_FOR_WEBHOOK task is found as ever, and taken as ever, whatever its `matches` say. Tasks of other types are in no
queue and no index of ours, so Conductor is asked for the workflow, outside the loop: at once, and then ever more rarely
as the event waits. URLs that nothing signs are looked up apart from the others, few at a time: anyone can make them up.
"""

from __future__ import annotations

import heapq
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog

from store.clock import MonotonicClock
from store.one_target import OneTarget, names_of
from store.records import Event
from worker.conductor.addressed import Addressed
from worker.conductor.backoff import wait_before
from worker.leader.held_index import HeldEvent

log = structlog.get_logger()

Proof = Literal["signed", "by id"]
"""What the URL has: a token, or just the workflow's id."""
Turn = Literal["first", "again", "failing"]
"""Which look-up of an event it is. Each kind has its turns, so none waits for all of another."""

_TURNS: tuple[Turn, ...] = ("first", "again", "failing")
_AT_ONCE: dict[Proof, int] = {"signed": 8, "by id": 2}
"""Look-ups at a time. Half of them may be failing ones, each of which may hang until its time-out."""
_NEW_FOR = 10.0
"""Seconds since its arrival during which an event's look-up is a first one: after downtime there may be many others."""
_GAP: dict[Proof, float] = {"signed": 0.01, "by id": 0.04}
"""Seconds between two look-ups, at least: so few cost Conductor next to nothing."""
_UNSIGNED = 500
"""Events without a signature that wait for their first look-up; beyond that, further ones stay undecided."""
_SOONEST, _RAREST = 0.25, 60.0
"""Seconds between two look-ups for one event: half as long as it has waited."""
_LONGEST_FAILING = 30.0
"""Seconds between two look-ups that fail, at most."""
_PATIENCE = 2.0
"""Seconds that an event's first look-up waits for an answer."""


class AddressSource(Protocol):
    """The part of Conductor that look-ups need."""

    def addressed(self, place: OneTarget) -> Addressed | None:
        """The task at this place; None if there is no such workflow. May raise anything."""

    def within(self, seconds: float) -> AddressSource:
        """The same, with this limit on the wait for answers."""


@dataclass(frozen=True)
class LookedUp:
    """What a look-up found."""

    event: HeldEvent
    place: OneTarget
    began: int
    """When it began, in Unix milliseconds by the store's clock."""
    found: Addressed | None
    """None if Conductor has no such workflow."""


@dataclass
class _Lookups:
    """The look-ups for URLs with one kind of proof."""

    proof: Proof
    agendas: dict[Turn, list[tuple[float, int]]] = field(default_factory=lambda: {turn: [] for turn in _TURNS})
    """When each event is due (monotonic clock), and its `seq`."""
    running: dict[Turn, int] = field(default_factory=lambda: dict.fromkeys(_TURNS, 0))
    next_at: float = float("-inf")
    fresh: set[int] = field(default_factory=set)
    """Events that haven't been looked up yet."""
    turns: deque[Turn] = field(default_factory=lambda: deque(_TURNS))
    """Whose turn it is, in this order."""

    def open_turns(self) -> list[Turn]:
        """Those of which another look-up may begin, in their order."""
        at_once = _AT_ONCE[self.proof]
        if sum(self.running.values()) >= at_once:
            return []
        return [turn for turn in self.turns if turn != "failing" or self.running[turn] < at_once // 2]


@dataclass
class _Waiting:
    event: HeldEvent
    place: OneTarget
    proof: Proof
    due_at: float
    turn: Turn = "first"
    tries: int = 0
    failures: int = 0
    running: bool = False
    is_outdated: bool = False
    """Whether more may be known than the running look-up can have seen."""


class Callbacks:
    """Belongs to the loop's thread."""

    def __init__(
        self,
        conductor: AddressSource,
        pool: ThreadPoolExecutor | None,
        now: Callable[[], int],
        wake: Callable[[], None] = lambda: None,
        clock: MonotonicClock = time,
    ):
        """Look-ups run on the `pool`; without one they block. `now` is the store's time; `wake` is called from any
        thread once there is an answer."""
        self._conductor = conductor
        self._pool = pool
        self._now = now
        self._wake = wake
        self._clock = clock
        self._waiting: dict[int, _Waiting] = {}
        self._by_place: dict[tuple[str | None, str | None], dict[int, _Waiting]] = {}
        self._lookups: dict[Proof, _Lookups] = {"signed": _Lookups("signed"), "by id": _Lookups("by id")}
        self._answers: queue.SimpleQueue[tuple[_Waiting, int, Addressed | Exception | None]] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether too many events that nothing signs wait for their first look-up: more are left in the store."""
        return len(self._lookups["by id"].fresh) >= _UNSIGNED

    def add(self, event: Event, is_signed: bool) -> None:
        """The event is held from now on, and looked up at once."""
        assert event.only is not None
        if event.seq in self._waiting:
            return
        proof: Proof = "signed" if is_signed else "by id"
        is_new = self._now() - event.received_at < _NEW_FOR * 1000
        turn: Turn = "first" if is_new else "again"
        waiting = _Waiting(HeldEvent(event), event.only, proof, self._clock.monotonic(), turn)
        self._waiting[event.seq] = waiting
        self._by_place.setdefault(_key(event.only), {})[event.seq] = waiting
        self._lookups[proof].fresh.add(event.seq)
        self._schedule(waiting, waiting.due_at)

    def remove(self, event: HeldEvent) -> None:
        """The event is no longer held."""
        waiting = self._waiting.pop(event.seq, None)
        if waiting is None:
            return
        self._lookups[waiting.proof].fresh.discard(event.seq)
        same = self._by_place[_key(waiting.place)]
        del same[event.seq]
        if not same:
            del self._by_place[_key(waiting.place)]

    def __contains__(self, event: HeldEvent) -> bool:
        return event.seq in self._waiting

    def waiting_for(self, workflow_id: str, reference_name: str) -> Iterator[HeldEvent]:
        """The held events for this task, oldest first."""
        names = dict.fromkeys(names_of(reference_name))
        found = [one for name in names for one in self._by_place.get((workflow_id, name), {}).values()]
        return iter(sorted(one.event for one in found))

    def look_again(self, events: Iterable[HeldEvent] | None = None) -> None:
        """More may be known about these events, or all: they are looked up soon."""
        now = self._clock.monotonic()
        for waiting in (
            list(self._waiting.values())
            if events is None
            else [self._waiting[event.seq] for event in events if event.seq in self._waiting]
        ):
            if waiting.running:
                waiting.is_outdated = True
            elif waiting.due_at > now:
                self._schedule(waiting, now)

    def due_in(self) -> float:
        """Seconds until something is to be looked up; infinite if nothing is, or answers are awaited."""
        now = self._clock.monotonic()
        due = [
            max(lookups.agendas[turn][0][0], lookups.next_at) - now
            for lookups in self._lookups.values()
            for turn in lookups.open_turns()
            if lookups.agendas[turn]
        ]
        return max(0.0, min(due, default=float("inf")))

    def looked_up(self) -> list[LookedUp]:
        """What was found since the last call, and begins the look-ups that are due."""
        for lookups in self._lookups.values():
            self._begin_due(lookups)
        found: list[LookedUp] = []
        while not self._answers.empty():
            waiting, began, answer = self._answers.get_nowait()
            waiting.running = False
            self._lookups[waiting.proof].running[waiting.turn] -= 1
            self._lookups[waiting.proof].fresh.discard(waiting.event.seq)
            if self._waiting.get(waiting.event.seq) is not waiting:
                continue
            if isinstance(answer, Exception):
                self._failed(waiting, answer)
                continue
            waiting.failures, waiting.turn = 0, "again"
            # Unless the caller removes it, it waits on: rarely if it has waited for long, and once its hold ends.
            age = max(0, began - waiting.event.received_at) / 1000
            pause = 0.0 if waiting.is_outdated else min(_RAREST, max(_SOONEST, age / 2))
            left = (waiting.event.hold_until - self._now()) / 1000
            self._schedule(waiting, self._clock.monotonic() + (min(pause, left) if left > 0 else pause))
            found.append(LookedUp(waiting.event, waiting.place, began, answer))
        for lookups in self._lookups.values():
            self._begin_due(lookups)
        return found

    def _failed(self, waiting: _Waiting, error: Exception) -> None:
        waiting.failures += 1
        waiting.turn = "failing"
        if waiting.failures == 1:
            log.warning(
                "the workflow of a callback can't be looked up; only its event waits for it",
                event_id=waiting.event.id,
                workflow_id=waiting.place.workflow_id,
                error=str(error) or type(error).__name__,
            )
        self._schedule(waiting, self._clock.monotonic() + wait_before(waiting.failures, _LONGEST_FAILING))

    def _schedule(self, waiting: _Waiting, at: float) -> None:
        waiting.due_at = at
        heapq.heappush(self._lookups[waiting.proof].agendas[waiting.turn], (at, waiting.event.seq))

    def _begin_due(self, lookups: _Lookups) -> None:
        now = self._clock.monotonic()
        while lookups.next_at <= now and (waiting := self._next_due(lookups, now)) is not None:
            waiting.running, waiting.is_outdated = True, False
            waiting.tries += 1
            lookups.running[waiting.turn] += 1
            lookups.next_at = now + _GAP[lookups.proof]
            began, first = self._now(), waiting.tries == 1
            if self._pool is None:
                self._find(waiting, began, first)
            else:
                self._pool.submit(self._find, waiting, began, first)

    def _next_due(self, lookups: _Lookups, now: float) -> _Waiting | None:
        for turn in lookups.open_turns():
            agenda = lookups.agendas[turn]
            while agenda and agenda[0][0] <= now:
                due_at, seq = heapq.heappop(agenda)
                waiting = self._waiting.get(seq)
                if waiting is None or waiting.running or (waiting.due_at, waiting.turn) != (due_at, turn):
                    continue  # it was scheduled anew since, or is no longer held
                lookups.turns.remove(turn)
                lookups.turns.append(turn)
                return waiting
        return None

    def _find(self, waiting: _Waiting, began: int, first: bool) -> None:
        """On the pool."""
        answer: Addressed | Exception | None
        try:
            # Nobody knows yet which look-ups hang: first ones must not occupy their threads for long.
            answer = self._conductor.within(_PATIENCE if first else float("inf")).addressed(waiting.place)
        except Exception as error:
            answer = error
        self._answers.put((waiting, began, answer))
        self._wake()


def _key(place: OneTarget) -> tuple[str | None, str | None]:
    return place.workflow_id, place.reference_name
