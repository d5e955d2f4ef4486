"""Applies decisions: first to the store, then to the indexes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import structlog

from store.errors import RowsUnavailable
from store.records import Decision, Event, Target, Term
from store.rules import fairness
from store.sql.store import Store
from worker.failing_items import concerns_all
from worker.leader.held_events import HeldEvents
from worker.leader.held_index import HeldEvent
from worker.leader.plan import Plan, postponed
from worker.leader.task_index import TaskIndex
from worker.leader.task_timeouts import TaskTimeouts

log = structlog.get_logger()

_READ_AT_ONCE = 8
"""Events that are read at once for their targets' calls: the size of their payloads is known only then."""


class PlanWriter:
    """Belongs to the loop's thread."""

    def __init__(self, store: Store, tasks: TaskIndex, held: HeldEvents, timeouts: TaskTimeouts):
        self._store = store
        self._tasks = tasks
        self._held = held
        self._timeouts = timeouts

    def write(
        self, term: Term, plan: Plan, expired: Sequence[HeldEvent], now: int, limit: int
    ) -> list[tuple[Target, Event]]:
        """Writes the plan and ends the holds of the `expired` events, one transaction per step.

        Claims the first `limit` targets for this worker, and returns them with their events. If the store refuses a
        decision, its event is set aside, and nothing after it is written. Raises LeadershipLost and StoreUnavailable.
        """
        # Everything that may fail comes before the transactions; each one is then mirrored in memory.
        events, limit = self._to_call(plan, limit)
        claimed: list[Target] = []
        taken = [task for task in map(self._tasks.get, plan.taken) if task is not None]
        with self._timeouts.suspended(taken) as not_before:
            for decisions, ended in plan.steps(expired):
                if not_before:
                    decisions = [postponed(decision, not_before) for decision in decisions]
                claimed += self._write(term, plan, decisions, ended, now, limit - len(claimed))
                if plan.refused:
                    break
        if missing := list(
            {target.event_id for target in claimed} - events.keys()
        ):  # the calls of the other events were postponed
            events |= self._store.queries.events_of(missing)
        return [(target, events[target.event_id]) for target in claimed]

    def _write(
        self, term: Term, plan: Plan, decisions: list[Decision], ended: list[HeldEvent], now: int, limit: int
    ) -> list[Target]:
        """Writes these in one transaction. If it fails, singles out the refused decision and sets its event aside.

        Everything after that one is decided again without it: its tasks, for example, may take other events.
        """
        try:
            over = [event.id for event in ended]
            claimed = self._store.decisions.decide(term, decisions, over, now, term.holder, limit)
        except Exception as error:
            if concerns_all(error):
                raise
            ids = [*(decision.event_id for decision in decisions), *(event.id for event in ended)]
            # Halving would wait in vain for what somebody has locked, at each step.
            refused = self._store.quarantine.locked(ids) if isinstance(error, RowsUnavailable) else set[str]()
            if len(ids) == 1:
                refused = set(ids)
            half = min(map(ids.index, refused), default=len(ids) // 2)
            if refused:
                plan.refused = True
                held = {event.id: event for event in ended}
                for id_ in refused:
                    self._held.set_aside(held.get(id_) or plan.released.get(id_) or plan.events[id_], error)
            first = max(0, half - len(decisions))
            claimed = self._write(term, plan, decisions[:half], ended[:first], now, limit) if half else []
            if not plan.refused:
                claimed += self._write(term, plan, decisions[half:], ended[first:], now, limit - len(claimed))
            return claimed
        self._apply(plan, decisions, ended)
        return claimed

    def _to_call(self, plan: Plan, limit: int) -> tuple[dict[str, Event], int]:
        """The events of the first targets, and how many targets may be claimed: reads only as much payload as fits."""
        found: dict[str, Event] = {}
        number, size = 0, 0
        called = [d for d in plan.decisions if d.targets and not d.paced][: max(0, limit)]
        for begin in range(0, len(called), _READ_AT_ONCE):
            some = called[begin : begin + _READ_AT_ONCE]
            events = self._events(plan, [decision.event_id for decision in some])
            for decision in some:
                event = events.get(decision.event_id)
                if event is None or number >= limit or size >= fairness.BYTES:
                    return found, min(limit, number)
                if event.id not in found:
                    found[event.id] = event
                    size += len(event.payload)
                number += len(decision.targets)
        return found, min(limit, number)

    def _events(self, plan: Plan, event_ids: Sequence[str]) -> Mapping[str, Event]:
        """These events, except unreadable ones: the worker that claims their targets finds that out again."""
        missing = [event_id for event_id in event_ids if event_id not in plan.events]
        if not missing:
            return plan.events
        try:
            return {**plan.events, **self._store.queries.events_of(missing)}
        except Exception as error:
            if concerns_all(error):
                raise
            log.warning("events can't be read for their calls", events=missing, error=str(error))
            return plan.events

    def _apply(self, plan: Plan, decisions: Iterable[Decision], ended: Iterable[HeldEvent]) -> None:
        """Mirrors a transaction in memory."""
        for decision in decisions:
            for target in decision.targets:
                if target.task_id is not None:
                    self._held.remove_task(target.task_id)
            if decision.hold == "held":
                self._held.hold(plan.events[decision.event_id])
            elif decision.event_id in plan.released:
                self._held.release(plan.released[decision.event_id])
        for over in ended:
            self._held.release(over)
            log.info("event expired", event_id=over.id, webhook=over.webhook)
