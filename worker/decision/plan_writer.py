"""Writes the decisions of a plan: first to the store, then to the indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import structlog

from store.errors import RowsUnavailable
from store.processes import WorkerStore
from store.records import Decision, Event, Target, Term
from worker.decision.held_events import HeldEvents
from worker.decision.matching import HeldEvent
from worker.decision.rules import Plan
from worker.retries import concerns_all

log = structlog.get_logger()

STEP = 1000
"""Targets and ended holds per transaction; a single decision may have more targets."""

_Item: TypeAlias = Decision | HeldEvent
"""A decision, or an event whose hold ends."""


class PlanWriter:
    """Writes one plan, one transaction per step. Belongs to the loop's thread.

    If the store refuses a decision, its event is set aside, and nothing after it is written: it is
    decided again without that event, whose tasks, for example, others may take.
    """

    def __init__(
        self, store: WorkerStore, held: HeldEvents, term: Term, plan: Plan, now: int, limit: int
    ):
        """Claims up to `limit` targets for this worker."""
        self._store = store
        self._held = held
        self._term = term
        self._plan = plan
        self._now = now
        # Payloads of events that were held aren't in memory: then any worker claims the targets.
        has_all = all(
            decision.event_id in plan.events for decision in plan.decisions if decision.targets
        )
        self._limit = limit if has_all else 0
        self._claimed: list[Target] = []
        self._written: set[str] = set()
        self.refused = False
        """Whether the store has refused a decision."""

    def write(self, not_before: Mapping[str, int]) -> list[tuple[Target, Event]]:
        """Returns the claimed targets with their events. `not_before`: the times before which some
        tasks, by their ids, may not be completed. Raises LeadershipLost and StoreUnavailable."""
        decisions = [_postponed(decision, not_before) for decision in self._plan.decisions]
        for step in _steps([*decisions, *self._plan.ended]):
            self._write(step)
            if self.refused:
                self._let_go()
                break
        return [(target, self._plan.events[target.event_id]) for target in self._claimed]

    def _write(self, items: Sequence[_Item]) -> None:
        """Writes these in one transaction. If it fails, singles out what the store refuses."""
        decisions = [item for item in items if isinstance(item, Decision)]
        ended = [item for item in items if isinstance(item, HeldEvent)]
        over = [event.id for event in ended]
        left = self._limit - len(self._claimed)
        near = {
            id_: [near.task.id for near in self._plan.near[id_]]
            for id_ in map(_event_id, items)
            if self._plan.near.get(id_)
        }
        try:
            self._claimed += self._store.decisions.decide(
                self._term, decisions, over, self._now, left, near
            )
        except Exception as error:
            if concerns_all(error):
                raise
            self._narrow(items, error)
        else:
            self._apply(decisions, ended)

    def _narrow(self, items: Sequence[_Item], error: Exception) -> None:
        ids = list(map(_event_id, items))
        # Halving would wait in vain for what somebody has locked, at each step.
        refused = set[str]()
        if len(ids) == 1:
            refused = set(ids)
        elif isinstance(error, RowsUnavailable):
            refused = self._store.quarantine.locked(ids)
        first = min(map(ids.index, refused), default=len(ids) // 2)
        for event_id in refused:
            self._held.set_aside(
                self._plan.released.get(event_id) or self._plan.events[event_id], error
            )
        self.refused |= bool(refused)
        if first:
            self._write(items[:first])
        if not self.refused:
            self._write(items[first:])

    def _apply(self, decisions: Iterable[Decision], ended: Iterable[HeldEvent]) -> None:
        """Mirrors a transaction in memory."""
        for decision in decisions:
            self._written.add(decision.event_id)
            for target in decision.targets:
                if target.task_id is not None:
                    self._held.remove_task(target.task_id)
            if decision.hold == "no" and decision.event_id in self._plan.released:
                self._held.release(self._plan.released[decision.event_id])
        for event in ended:
            self._held.release(event)
            nearest = list(map(str, self._plan.near.get(event.id, ())))
            log.info("event expired", event_id=event.id, webhook=event.webhook, nearest=nearest)

    def _let_go(self) -> None:
        """New events whose decisions aren't written are decided again, and held only then."""
        for event in self._plan.events.values():
            if event.decided_at is None and event.id not in self._written:
                self._held.release(HeldEvent(event))


def _event_id(item: _Item) -> str:
    if isinstance(item, Decision):
        return item.event_id
    return item.id


def _steps(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    """What is written in one transaction each."""
    step: list[_Item] = []
    size = 0
    for item in items:
        weight = 1 + len(item.targets) if isinstance(item, Decision) else 1
        if step and size + weight > STEP:
            yield step
            step, size = [], 0
        step.append(item)
        size += weight
    if step:
        yield step


def _postponed(decision: Decision, not_before: Mapping[str, int]) -> Decision:
    """The decision, with the times before which some tasks may not be completed."""
    if not any(new.task_id in not_before for new in decision.targets):
        return decision
    targets = tuple(
        replace(new, not_before=not_before.get(new.task_id or "", 0)) for new in decision.targets
    )
    return replace(decision, targets=targets)
