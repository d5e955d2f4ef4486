"""Events that came by a callback's URL: held until the task that the URL names can be completed.

A WAIT_FOR_WEBHOOK task is found and taken in the usual way, whatever its `matches` say. Tasks of other types are in no
queue and no index of ours, so Conductor is asked for the workflow, outside the loop: at once, and then less often the
longer the event waits. URLs that nothing signs are looked up apart from the others, few at a time: anyone can make them
up. One look-up serves all of them that are due and name the same workflow.
"""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal

import structlog

from store.clock import MonotonicClock
from store.one_target import OneTarget, names_of
from store.records import Event
from store.sql.database import Clock, Listener
from worker.conductor.addressed import Addressed, WorkflowTasks
from worker.conductor.client import Conductor
from worker.leader.held_index import HeldEvent
from worker.retries import Retries, wait_before

log = structlog.get_logger()

Proof = Literal["signed", "by id"]
"""What the URL has: a token, or just the workflow's id."""
Turn = Literal["first", "again", "failing"]
"""Which look-up of an event it is. Each kind of each webhook has its turns, so none waits for all of another."""

_Group = tuple[Proof, Turn, str]
"""The look-ups of a webhook's events that take their turn together."""
_Found = Addressed | Exception | None
_AT_ONCE: dict[Proof, int] = {"signed": 8, "by id": 2}
"""Look-ups at a time. Half of them may be failing ones, each of which may hang until its time-out."""
_NEW_FOR = 10.0
"""Seconds since its arrival during which an event's look-up is a first one: after downtime there may be many others."""
_GAP: dict[Proof, float] = {"signed": 0.01, "by id": 0.04}
"""Seconds between two look-ups, at least: so few cost Conductor next to nothing."""
_FRESH_UNSIGNED = 500
"""Unsigned events of a webhook that wait for their first look-up, at most; others stay undecided meanwhile."""
_SAME_WORKFLOW = 0.25
"""Seconds between two look-ups of a workflow for events without a signature: whoever knows its id can make up names."""
_SOONEST, _RAREST = 0.25, 60.0
"""Seconds between two look-ups for one event: half as long as it has waited."""
_LONGEST_FAILING = 30.0
"""Seconds between two look-ups that fail, at most."""
_PATIENCE = 2.0
"""Seconds that an event's first look-up waits for an answer."""


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
class _Workflow:
    """What waits for one workflow's tasks."""

    events: dict[str | None, dict[int, _Waiting]] = field(default_factory=dict)
    """By the tasks' names."""
    unsigned: int = 0
    """How many of them nothing signs."""
    unsigned_at: float = float("-inf")
    """When it was last looked up for events without a signature."""

    def __iter__(self) -> Iterator[_Waiting]:
        return (waiting for same in self.events.values() for waiting in same.values())


@dataclass
class _Waiting:
    event: HeldEvent
    place: OneTarget
    proof: Proof
    turn: Turn = "first"
    tries: int = 0
    failures: int = 0
    running: bool = False
    is_outdated: bool = False
    """Whether more may be known than the running look-up can have seen."""

    @property
    def is_fresh(self) -> bool:
        """Whether nothing signs the event, and no look-up has begun yet."""
        return self.proof == "by id" and self.tries == 0


class Callbacks:
    """The held events, and the look-ups of their tasks. Belongs to the loop's thread."""

    def __init__(
        self,
        conductor: Conductor,
        pool: Executor,
        store: Clock,
        listener: Listener | None = None,
        clock: MonotonicClock = time,
    ):
        """Look-ups run on the `pool`. The `listener` is woken once there is an answer."""
        self._conductor = conductor
        self._pool = pool
        self._store = store
        self._listener = listener
        self._clock = clock
        self._waiting: dict[int, _Waiting] = {}
        self._workflows: dict[str | None, _Workflow] = {}
        self._retries = Retries[int, _Group]()
        """When each event that isn't being looked up is due (monotonic clock)."""
        self._running: dict[Proof, Counter[Turn]] = {"signed": Counter(), "by id": Counter()}
        self._next_at: dict[Proof, float] = dict.fromkeys(_GAP, float("-inf"))
        self._fresh = Counter[str]()
        """Webhook → its events that nothing signs and for which no look-up has begun yet."""
        self._answers: queue.SimpleQueue[tuple[int, list[tuple[_Waiting, _Found]]]] = queue.SimpleQueue()
        """When a look-up began, and what it found for each of the events that it was for."""

    def __len__(self) -> int:
        return len(self._waiting)

    def is_full(self, webhook: str) -> bool:
        """Whether too many of its events that nothing signs wait for their first look-up: more stay undecided."""
        return self._fresh[webhook] >= _FRESH_UNSIGNED

    def add(self, event: Event, is_signed: bool) -> None:
        """The event is held from now on, and looked up at once."""
        assert event.only is not None
        if event.seq in self._waiting:
            return
        proof: Proof = "signed" if is_signed else "by id"
        is_new = self._store.now() - event.received_at < _NEW_FOR * 1000
        turn: Turn = "first" if is_new else "again"
        waiting = _Waiting(HeldEvent(event), event.only, proof, turn)
        self._waiting[event.seq] = waiting
        workflow = self._workflows.setdefault(event.only.workflow_id, _Workflow())
        workflow.events.setdefault(event.only.reference_name, {})[event.seq] = waiting
        workflow.unsigned += not is_signed
        self._fresh[event.webhook] += not is_signed
        self._schedule(waiting, self._clock.monotonic())

    def remove(self, event: HeldEvent) -> None:
        """The event is no longer held."""
        waiting = self._waiting.pop(event.seq, None)
        if waiting is None:
            return
        self._retries.forget(event.seq)
        self._fresh[event.webhook] -= waiting.is_fresh
        workflow_id, name = waiting.place.workflow_id, waiting.place.reference_name
        workflow = self._workflows[workflow_id]
        workflow.unsigned -= waiting.proof == "by id"
        events = workflow.events
        del events[name][event.seq]
        if not events[name]:
            del events[name]
        if not events:
            del self._workflows[workflow_id]

    def __contains__(self, event: HeldEvent) -> bool:
        return event.seq in self._waiting

    def is_crowded(self, event: HeldEvent, most: int, released: Container[str]) -> bool:
        """Whether this many events that nothing signs and that came before it are held for tasks of its workflow.
        Those whose ids are `released` no longer count."""
        waiting = self._waiting.get(event.seq)
        workflow = None if waiting is None else self._workflows[waiting.place.workflow_id]
        if workflow is None or workflow.unsigned <= most:
            return False
        before = (one.event.id for one in workflow if one.proof == "by id" and one.event.seq < event.seq)
        return sum(id_ not in released for id_ in before) >= most

    def waiting_for(self, workflow_id: str, reference_name: str) -> Iterator[HeldEvent]:
        """The held events for this task, oldest first."""
        names = dict.fromkeys(names_of(reference_name))
        workflow = self._workflows.get(workflow_id, _Workflow())
        found = [one for name in names for one in workflow.events.get(name, {}).values()]
        return iter(sorted(one.event for one in found))

    def look_up_again(self, events: Iterable[HeldEvent] | None = None) -> None:
        """More may be known about these events, or all: they are looked up soon."""
        now = self._clock.monotonic()
        if events is None:
            concerned = list(self._waiting.values())
        else:
            concerned = [self._waiting[event.seq] for event in events if event.seq in self._waiting]
        for waiting in concerned:
            if waiting.running:
                waiting.is_outdated = True
            elif self._retries.at(waiting.event.seq) > now:
                self._schedule(waiting, now)

    def due_in(self) -> float:
        """Seconds until something is to be looked up; infinite if nothing is, or answers are awaited."""

        def due_at(proof: Proof) -> float:
            return max(
                self._next_at[proof],
                self._retries.due_at(lambda group: group[0] == proof and self._has_room(group)),
            )

        return max(0.0, min(map(due_at, self._next_at)) - self._clock.monotonic())

    def _has_room(self, group: _Group) -> bool:
        """Whether another look-up of this kind may begin."""
        proof, turn, _ = group
        running, at_once = self._running[proof], _AT_ONCE[proof]
        return running.total() < at_once and (turn != "failing" or running[turn] < at_once // 2)

    def looked_up(self) -> list[LookedUp]:
        """What was found since the last call, and begins the look-ups that are due."""
        self._begin_due()
        found: list[LookedUp] = []
        while not self._answers.empty():
            began, each = self._answers.get_nowait()
            first, _ = each[0]
            self._running[first.proof][first.turn] -= 1
            for waiting, what in each:
                waiting.running = False
                if self._waiting.get(waiting.event.seq) is not waiting:
                    continue
                if isinstance(what, Exception):
                    self._failed(waiting, what)
                else:
                    self._wait_on(waiting, began)
                    found.append(LookedUp(waiting.event, waiting.place, began, what))
        self._begin_due()
        return found

    def _wait_on(self, waiting: _Waiting, began: int) -> None:
        """Schedules the next look-up: later the longer the event has waited, and once at the end of its hold."""
        waiting.failures, waiting.turn = 0, "again"
        age = max(0, began - waiting.event.received_at) / 1000
        pause = 0.0 if waiting.is_outdated else min(_RAREST, max(_SOONEST, age / 2))
        left = (waiting.event.hold_until - self._store.now()) / 1000
        self._schedule(waiting, self._clock.monotonic() + (min(pause, left) if left > 0 else pause))

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
        self._retries.put(waiting.event.seq, at, (waiting.proof, waiting.turn, waiting.event.webhook))

    def _begin_due(self) -> None:
        now = self._clock.monotonic()

        def may_begin(group: _Group) -> bool:
            return self._next_at[group[0]] <= now and self._has_room(group)

        while (seq := self._retries.pop(now, may_begin)) is not None:
            first = self._waiting[seq]
            together = [first]
            if first.proof == "by id":
                workflow = self._workflows[first.place.workflow_id]
                if now < workflow.unsigned_at + _SAME_WORKFLOW:
                    self._schedule(first, workflow.unsigned_at + _SAME_WORKFLOW)
                    continue
                workflow.unsigned_at = now
                together = self._due_with(first, now)
            is_first = first.tries == 0
            for waiting in together:
                self._retries.forget(waiting.event.seq)
                self._fresh[waiting.event.webhook] -= waiting.is_fresh
                waiting.running, waiting.is_outdated = True, False
                waiting.tries += 1
            self._running[first.proof][first.turn] += 1
            self._next_at[first.proof] = now + _GAP[first.proof]
            self._pool.submit(self._find, together, self._store.now(), is_first)

    def _due_with(self, first: _Waiting, now: float) -> list[_Waiting]:
        """This event, then the others that nothing signs, for the same workflow, that are due."""
        others = (one for one in self._workflows[first.place.workflow_id] if one is not first and one.proof == "by id")
        return [first, *(one for one in others if self._retries.at(one.event.seq) <= now)]

    def _find(self, together: Sequence[_Waiting], began: int, is_first: bool) -> None:
        """On the pool."""
        workflow_id = together[0].place.workflow_id
        assert workflow_id is not None
        try:
            # It isn't known yet which look-ups hang: first ones must not occupy their threads for long.
            tasks = self._conductor.within(_PATIENCE if is_first else float("inf")).workflow_tasks(workflow_id)
        except Exception as error:
            found: list[tuple[_Waiting, _Found]] = [(waiting, error) for waiting in together]
        else:
            found = [(waiting, _at(waiting.place, tasks)) for waiting in together]
        self._answers.put((began, found))
        if self._listener is not None:
            self._listener.wake()


def _at(place: OneTarget, tasks: WorkflowTasks | None) -> _Found:
    try:
        return None if tasks is None else tasks.at(place)
    except Exception as error:
        return error
