"""Tasks that are found and events that are decided, as a worker has the store do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from criteria.matches import BadMatches, Criteria
from store.records import Decision, Target, Task, Term
from store.sql.decisions import Plan
from store.sql.store import Store
from store.sql.tasks import Asks
from worker.decision.keys import asks_of


def adopt(store: Store, term: Term, tasks: Sequence[Task], now: int) -> list[Task]:
    """The tasks are found now, unless they say when they were."""
    found = [
        replace(task, shown_at=task.scheduled_at, adopted_at=task.adopted_at or now)
        for task in tasks
    ]
    return store.tasks.adopt(term, [(task, _asks(task)) for task in found], now, {})


def _asks(task: Task) -> Asks | None:
    try:
        return asks_of(Criteria.parse(task.matches))
    except BadMatches:
        return None


def decide(
    store: Store, term: Term, decisions: Sequence[Decision], now: int, claim: int = 0
) -> list[Target]:
    """These are decided, and the first `claim` of their targets claimed and returned."""
    events = store.queries.events_of([decision.event_id for decision in decisions])
    return store.decisions.decide(term, Plan(decisions, events), now, claim)
