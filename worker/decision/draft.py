"""What a step of a round decides, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

import structlog

from store.errors import RowsUnavailable
from store.processes import WorkerStore
from store.records import Came, Decision, Event, NewTarget, Target, Task, Term
from store.sql.decisions import Plan
from worker import metrics
from worker.decision.late import why_late
from worker.decision.nearest import Near
from worker.decision.quarantine import Quarantine
from worker.decision.targets import completion
from worker.retries import concerns_all

log = structlog.get_logger()

STEP = 1000
"""Targets and decisions per transaction; a single decision may have more targets."""


class Timeouts(Protocol):
    """The response time-outs of tasks, which are extended while the tasks wait."""

    def suspended(self, tasks: Collection[Task]) -> AbstractContextManager[Mapping[str, int]]:
        """Extends none of these tasks' time-outs while the block gives the tasks to events. Yields
        the times before which some may not be completed."""


class Draft:
    """The decisions of one step, each with its event."""

    def __init__(self, paced: Collection[str]):
        """`paced`: the webhooks with a pace."""
        self._paced = paced
        self.decisions: dict[str, Decision] = {}
        self.events: dict[str, Event] = {}
        self.near: dict[str, list[Near]] = {}
        self.taken: dict[str, Task] = {}
        """The tasks that events take, by their ids."""

    def decide(self, event: Event, decision: Decision) -> None:
        """This becomes of the event."""
        paced = event.webhook in self._paced
        self.events[event.id] = event
        self.decisions[event.id] = replace(decision, paced=paced, origin=event.origin)

    def join(self, event: Event, task: Task, came: Came) -> None:
        """The event, which was decided before, goes to the task."""
        before = self.decisions.get(event.id) or Decision(event.id, "pending", "no")
        self.decide(event, replace(before, targets=(*before.targets, completion(task, came))))
        self.taken[task.id] = task

    def has_taker(self, event: Event) -> bool:
        """Whether a task takes the event in this step."""
        decision = self.decisions.get(event.id)
        return decision is not None and any(one.kind == "complete" for one in decision.targets)


class Writer:
    """Writes drafts, one transaction per step. Belongs to the loop's thread.

    If the store refuses a decision, its event is set aside alone.
    """

    def __init__(self, store: WorkerStore, quarantine: Quarantine, timeouts: Timeouts):
        self._store = store
        self._quarantine = quarantine
        self._timeouts = timeouts

    def write(self, term: Term, draft: Draft, now: int, limit: int) -> list[tuple[Target, Event]]:
        """Claims up to `limit` targets for this worker, and returns them with their events. Raises
        LeadershipLost and StoreUnavailable."""
        claimed: list[Target] = []

        def act(decisions: Sequence[Decision]) -> None:
            left = limit - len(claimed)
            claimed.extend(self._store.decisions.decide(term, _plan(draft, decisions), now, left))

        with self._timeouts.suspended(list(draft.taken.values())) as not_before:
            decisions = [_postponed(one, not_before) for one in draft.decisions.values()]
            for step in _steps(decisions):
                for decision, error in self._failing(step, act):
                    event = draft.events[decision.event_id]
                    self._quarantine.event_failed(event.id, event.webhook, error)
        _count_late(draft, now)
        return [(target, draft.events[target.event_id]) for target in claimed]

    def end_holds(
        self, term: Term, event_ids: Sequence[str], near: Mapping[str, list[Near]], now: int
    ) -> None:
        """The holds of these events are over. Raises LeadershipLost and StoreUnavailable."""
        kept = {event_id: [one.task.id for one in found] for event_id, found in near.items()}
        self._store.decisions.decide(term, Plan(expired=event_ids, near=kept), now, 0)
        for event_id in event_ids:
            nearest = list(map(str, near.get(event_id, ())))
            log.info("event expired", event_id=event_id, nearest=nearest)

    def _failing(
        self, decisions: Sequence[Decision], act: Callable[[Sequence[Decision]], None]
    ) -> Iterator[tuple[Decision, Exception]]:
        """Those that the store refuses alone; the others are written, in order."""
        if not decisions:
            return
        try:
            act(decisions)
        except Exception as error:
            if concerns_all(error):
                raise
            refused = set[str]()
            if len(decisions) == 1:
                refused = {decisions[0].event_id}
            elif isinstance(error, RowsUnavailable):
                # Halving would wait in vain for what somebody has locked, at each step.
                refused = self._store.quarantine.locked([one.event_id for one in decisions])
            yield from ((one, error) for one in decisions if one.event_id in refused)
            left = [one for one in decisions if one.event_id not in refused]
            half = len(left) if refused else len(left) // 2
            yield from self._failing(left[:half], act)
            yield from self._failing(left[half:], act)


def _plan(draft: Draft, decisions: Sequence[Decision]) -> Plan:
    ids = [one.event_id for one in decisions]
    near = {id_: [one.task.id for one in draft.near[id_]] for id_ in ids if draft.near.get(id_)}
    return Plan(decisions, {id_: draft.events[id_] for id_ in ids}, near=near)


def _count_late(draft: Draft, now: int) -> None:
    for decision in draft.decisions.values():
        for target in decision.targets:
            task = draft.taken.get(target.task_id or "")
            cause = None if task is None else why_late(draft.events[decision.event_id], task, now)
            if cause is not None:
                metrics.LATE_JOINS.labels(cause).inc()


def _steps(decisions: Iterable[Decision]) -> Iterator[list[Decision]]:
    """What is written in one transaction each."""
    step: list[Decision] = []
    size = 0
    for decision in decisions:
        weight = 1 + len(decision.targets)
        if step and size + weight > STEP:
            yield step
            step, size = [], 0
        step.append(decision)
        size += weight
    if step:
        yield step


def _postponed(decision: Decision, not_before: Mapping[str, int]) -> Decision:
    """The decision, with the times before which some tasks may not be completed."""

    def postponed(target: NewTarget) -> NewTarget:
        return replace(target, not_before=not_before.get(target.task_id or "", 0))

    if not not_before:
        return decision
    return replace(decision, targets=tuple(map(postponed, decision.targets)))
