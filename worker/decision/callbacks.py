"""Events that came by a callback's URL: held until the task that the URL names can be completed.

A WAIT_FOR_WEBHOOK task is found and taken in the usual way, whatever its `matches` say. Tasks of
other types are in no queue and no index of ours, so Conductor is asked for the workflow, outside
the loop: at once, and then less often the longer the event waits. URLs that nothing signs are
looked up apart from the others, few at a time: anyone can make them up. One look-up serves all
events that name the same workflow.
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

from config.webhooks import Webhook
from store.clock import MonotonicClock
from store.one_target import OneTarget, names_of
from store.records import Event
from store.sql.database import Clock, Listener
from worker.conductor.addressed import Addressed, WorkflowTasks
from worker.conductor.client import Conductor
from worker.decision.matching import HeldEvent
from worker.retries import Retries, wait_before

log = structlog.get_logger()

Proof = Literal["signed", "by id"]
"""What the URL has: a token, or just the workflow's id."""
Turn = Literal["first", "again", "failing"]
"""Which look-up of a workflow it is. Each kind of each webhook has its turns, so none waits for all
of another."""

_Group = tuple[Proof, Turn, str]
"""The look-ups for a webhook's events that take their turn together."""
_Found = Addressed | Exception | None
_AT_ONCE: dict[Proof, int] = {"signed": 8, "by id": 2}
"""Look-ups at a time. Half of them may be failing ones, each of which may hang until its time-out.
"""
_NEW_FOR = 10.0
"""Seconds since its arrival during which an event's look-up is a first one: after downtime there
may be many others."""
_GAP: dict[Proof, float] = {"signed": 0.01, "by id": 0.04}
"""Seconds between two look-ups, at least: so few cost Conductor next to nothing."""
_FRESH_UNSIGNED = 500
"""Unsigned events of a webhook that wait for their first look-up, at most; others stay undecided
meanwhile."""
_HELD_UNSIGNED = 1000
"""Unsigned events that are held for tasks of one workflow, at most: whoever knows its id can make
up names."""
_SOONEST, _RAREST = 0.25, 60.0
"""Seconds between two look-ups of a workflow: half as long as its newest event has waited."""
_LONGEST_FAILING = 30.0
"""Seconds between two look-ups that fail, at most."""
_PATIENCE = 2.0
"""Seconds that a workflow's first look-up waits for an answer."""


@dataclass(frozen=True)
class LookedUp:
    """What a look-up found."""

    event: HeldEvent
    began: int
    """When it began, in Unix milliseconds by the store's clock."""
    found: Addressed | None
    """None if Conductor doesn't know the workflow."""
    unknown_since: int
    """When the first look-up in a row began that didn't find it; `began` if this one did."""

    @property
    def place(self) -> OneTarget:
        """What the event is for."""
        return _place(self.event)

    @property
    def hold_is_over(self) -> bool:
        """Whether the look-up began after the end of the event's hold."""
        return self.began >= self.event.hold_until


@dataclass(eq=False)
class _Workflow:
    """What is held for one workflow's tasks, and its look-ups."""

    id: str
    webhook: str = ""
    """That of the event that came last."""
    events: dict[int, HeldEvent] = field(default_factory=dict)
    unsigned: set[int] = field(default_factory=set)
    """Those of them that nothing signs."""
    fresh: set[int] = field(default_factory=set)
    """Those of the unsigned for which no look-up has begun yet."""
    turn: Turn = "again"
    looked_up_at: float = float("-inf")
    failures: int = 0
    running: tuple[Proof, Turn] | None = None
    """The kind of the look-up in progress; None if there is none."""
    unknown_since: int | None = None
    """When the first look-up in a row began that didn't find it, in Unix milliseconds."""
    is_outdated: bool = False
    """Whether more may be known than the running look-up can have seen."""

    @property
    def proof(self) -> Proof:
        return "by id" if len(self.unsigned) == len(self.events) else "signed"


def _place(event: HeldEvent) -> OneTarget:
    assert event.only is not None
    return event.only


def is_signed(webhook: Webhook) -> bool:
    """Whether its URLs have tokens. Anyone can make up others, as the workflow's id is all they
    have."""
    return webhook.callback is None or webhook.callback.by is None


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
        self._workflows: dict[str | None, _Workflow] = {}
        self._retries = Retries[str, _Group]()
        """When each workflow that isn't being looked up is due (monotonic clock)."""
        self._running: dict[Proof, Counter[Turn]] = {"signed": Counter(), "by id": Counter()}
        self._next_at: dict[Proof, float] = dict.fromkeys(_GAP, float("-inf"))
        self._fresh = Counter[str]()
        """Webhook → its events that nothing signs and for which no look-up has begun yet."""
        self._answers: queue.SimpleQueue[tuple[_Workflow, int, list[tuple[HeldEvent, _Found]]]] = (
            queue.SimpleQueue()
        )
        """(workflow, when its look-up began, what that found for each event)"""

    def __len__(self) -> int:
        """The number of workflows that events are held for."""
        return len(self._workflows)

    def is_full(self, webhook: str) -> bool:
        """Whether too many of its events that nothing signs wait for their first look-up: more stay
        undecided."""
        return self._fresh[webhook] >= _FRESH_UNSIGNED

    def add(self, event: Event, is_signed: bool) -> None:
        """The event is held from now on, and looked up at once."""
        assert event.only is not None
        assert event.only.workflow_id is not None
        workflow = self._workflows.setdefault(
            event.only.workflow_id, _Workflow(event.only.workflow_id)
        )
        if event.seq in workflow.events:
            return
        workflow.events[event.seq] = HeldEvent(event)
        workflow.webhook = event.webhook
        if not is_signed:
            workflow.unsigned.add(event.seq)
            workflow.fresh.add(event.seq)
            self._fresh[event.webhook] += 1
        if workflow.turn == "again" and self._store.now() - event.received_at < _NEW_FOR * 1000:
            workflow.turn = "first"
        if workflow.running:
            workflow.is_outdated = True
        else:
            self._schedule(workflow, min(self._retries.at(workflow.id), self._clock.monotonic()))

    def remove(self, event: HeldEvent) -> None:
        """The event is no longer held."""
        if event.only is None:
            return
        workflow = self._workflows.get(event.only.workflow_id)
        if workflow is None or workflow.events.pop(event.seq, None) is None:
            return
        if event.seq in workflow.fresh:
            self._fresh[event.webhook] -= 1
            workflow.fresh.remove(event.seq)
        workflow.unsigned.discard(event.seq)
        if not workflow.events:
            del self._workflows[workflow.id]
            self._retries.forget(workflow.id)

    def is_crowded(self, event: HeldEvent, released: Container[str]) -> bool:
        """Whether nothing signs the event, and as many such ones as may be came before it and are
        held for tasks of its workflow. Those whose ids are `released` no longer count: after
        downtime very many may come to tasks that wait."""
        workflow = self._workflows[_place(event).workflow_id]
        if event.seq not in workflow.unsigned or len(workflow.unsigned) <= _HELD_UNSIGNED:
            return False
        before = (workflow.events[seq].id for seq in workflow.unsigned if seq < event.seq)
        return sum(id_ not in released for id_ in before) >= _HELD_UNSIGNED

    def waiting_for(self, workflow_id: str, reference_name: str) -> Iterator[HeldEvent]:
        """The held events for this task, oldest first."""
        workflow = self._workflows.get(workflow_id)
        if workflow is None:
            return iter(())
        names = names_of(reference_name)
        events = sorted(workflow.events.values())
        return (event for event in events if _place(event).reference_name in names)

    def look_up_all_again(self) -> None:
        """More may be known about all workflows: they are looked up soon."""
        for workflow in self._workflows.values():
            self.look_up_again(workflow.id)

    def look_up_again(self, workflow_id: str) -> None:
        """More may be known about this workflow: it is looked up soon, if events wait for it."""
        workflow = self._workflows.get(workflow_id)
        now = self._clock.monotonic()
        if workflow is None:
            return
        if workflow.running:
            workflow.is_outdated = True
        elif self._retries.at(workflow.id) > now:
            self._schedule(workflow, now)

    def due_in(self) -> float:
        """Seconds until something is to be looked up; infinite if nothing is, or answers are
        awaited."""

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
            workflow, began, answer = self._answers.get_nowait()
            assert workflow.running is not None
            proof, turn = workflow.running
            self._running[proof][turn] -= 1
            workflow.running = None
            if self._workflows.get(workflow.id) is workflow:
                found += self._take(workflow, began, answer)
        self._begin_due()
        return found

    def _take(
        self, workflow: _Workflow, began: int, answer: Sequence[tuple[HeldEvent, _Found]]
    ) -> Iterable[LookedUp]:
        """What a look-up found for the events that are still held. Schedules the next one."""
        _, first = answer[0]
        if first is not None:
            workflow.unknown_since = None
        elif workflow.unknown_since is None:
            workflow.unknown_since = began
        # A task that can't be read concerns only the events for it, which wait.
        readable = [(event, what) for event, what in answer if not isinstance(what, Exception)]
        if not readable and isinstance(first, Exception):
            self._failed(workflow, first)
            return ()
        workflow.failures = 0
        workflow.turn = "first" if workflow.is_outdated else "again"
        self._schedule(workflow, self._clock.monotonic() + self._pause(workflow, began))
        since = began if workflow.unknown_since is None else workflow.unknown_since
        return [
            LookedUp(event, began, what, since)
            for event, what in readable
            if event.seq in workflow.events
        ]

    def _pause(self, workflow: _Workflow, began: int) -> float:
        """Seconds until the next look-up: more the longer all events have waited; and there is one
        at the end of each hold."""
        if workflow.is_outdated:
            return 0.0
        now, events = self._store.now(), workflow.events.values()
        age = (began - max(event.received_at for event in events)) / 1000
        left = [(event.hold_until - now) / 1000 for event in events if event.hold_until > now]
        return min(_RAREST, max(_SOONEST, age / 2), *left)

    def _failed(self, workflow: _Workflow, error: Exception) -> None:
        workflow.failures += 1
        workflow.turn = "failing"
        if workflow.failures == 1:
            log.warning(
                "the workflow of a callback can't be looked up; only its events wait for it",
                workflow_id=workflow.id,
                error=str(error) or type(error).__name__,
            )
        self._schedule(
            workflow, self._clock.monotonic() + wait_before(workflow.failures, _LONGEST_FAILING)
        )

    def _schedule(self, workflow: _Workflow, at: float) -> None:
        proof = workflow.proof
        if proof == "by id":
            at = max(at, workflow.looked_up_at + _SOONEST)
        self._retries.put(workflow.id, at, (proof, workflow.turn, workflow.webhook))

    def _begin_due(self) -> None:
        now = self._clock.monotonic()

        def may_begin(group: _Group) -> bool:
            return self._next_at[group[0]] <= now and self._has_room(group)

        while (id_ := self._retries.pop(now, may_begin)) is not None:
            workflow = self._workflows[id_]
            proof, turn = workflow.proof, workflow.turn
            self._fresh.subtract(workflow.events[seq].webhook for seq in workflow.fresh)
            workflow.fresh.clear()
            # It isn't known yet which look-ups hang: first ones must not occupy their threads for
            # long.
            is_first = workflow.looked_up_at == float("-inf")
            patience = _PATIENCE if is_first else float("inf")
            workflow.running = (proof, turn)
            workflow.is_outdated = False
            workflow.looked_up_at = now
            self._running[proof][turn] += 1
            self._next_at[proof] = now + _GAP[proof]
            self._pool.submit(
                self._find, workflow, [*workflow.events.values()], self._store.now(), patience
            )

    def _find(
        self, workflow: _Workflow, events: Sequence[HeldEvent], began: int, patience: float
    ) -> None:
        """On the pool."""
        try:
            tasks = self._conductor.within(patience).workflow_tasks(workflow.id)
        except Exception as error:
            found: list[tuple[HeldEvent, _Found]] = [(event, error) for event in events]
        else:
            found = [(event, _at(_place(event), tasks)) for event in events]
        self._answers.put((workflow, began, found))
        if self._listener is not None:
            self._listener.wake()


def _at(place: OneTarget, tasks: WorkflowTasks | None) -> _Found:
    if tasks is None:
        return None
    try:
        return tasks.at(place)
    except Exception as error:
        return error
