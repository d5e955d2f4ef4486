"""The store as relay, worker and admin see it: an object of small parts, each with its own protocol.

All times are Unix milliseconds by the store's clock (`Clock.now`). Unless it says otherwise, every method raises
StoreUnavailable if the store is unavailable: then nothing has changed, or everything has and the answer was lost.
Methods that change very many rows work in steps, each a transaction, some of which may have been committed by then.
`store.transitions` defines what follows from a decision or a result; a store reads, calls it, and writes.
"""

from __future__ import annotations

from typing import Protocol

from store.protocols.admin import Acknowledgements, Changes, HiddenPaths, Queries, SavedDeliveries, Sessions
from store.protocols.answers import Answers
from store.protocols.calls import NO_PACES, Claims, EffectsOfCalls, Lanes, OnceKeys, TaskLocks
from store.protocols.leader import Decisions, KnownWorkflows, LargeDecisions, Leadership, Tasks
from store.protocols.relay import Deliveries, KeptDeliveries, RawDeliveries, Verifications, WithoutEvents
from store.protocols.shared import Clock, Facts, KeptDefinitions, Listener, News, Pauses, Quarantine, Signals
from store.protocols.upkeep import Maintenance, Row, Table, Tables

__all__ = [
    "NO_PACES",
    "Acknowledgements",
    "Answers",
    "Changes",
    "Claims",
    "Clock",
    "Decisions",
    "Deliveries",
    "EffectsOfCalls",
    "Facts",
    "HiddenPaths",
    "KeptDefinitions",
    "KeptDeliveries",
    "KnownWorkflows",
    "Lanes",
    "LargeDecisions",
    "Leadership",
    "Listener",
    "Maintenance",
    "News",
    "OnceKeys",
    "Pauses",
    "Quarantine",
    "Queries",
    "RawDeliveries",
    "Row",
    "SavedDeliveries",
    "Sessions",
    "Signals",
    "Store",
    "Table",
    "Tables",
    "TaskLocks",
    "Tasks",
    "Verifications",
    "WithoutEvents",
]


class Store(Clock, Protocol):
    """The whole store. Code that needs one part takes that part's protocol."""

    deliveries: Deliveries
    kept_deliveries: KeptDeliveries
    without_events: WithoutEvents
    raw_deliveries: RawDeliveries
    answers: Answers
    verifications: Verifications
    leadership: Leadership
    decisions: Decisions
    large_decisions: LargeDecisions
    tasks: Tasks
    workflows: KnownWorkflows
    claims: Claims
    task_locks: TaskLocks
    once_keys: OnceKeys
    lanes: Lanes
    effects: EffectsOfCalls
    quarantine: Quarantine
    signals: Signals
    pauses: Pauses
    facts: Facts
    kept_definitions: KeptDefinitions
    queries: Queries
    acknowledgements: Acknowledgements
    changes: Changes
    sessions: Sessions
    hidden_paths: HiddenPaths
    saved_deliveries: SavedDeliveries
    maintenance: Maintenance
    tables: Tables

    def close(self) -> None:
        """Closes this process's connections; the next use opens them again."""

    def end_waits(self, seconds: float) -> None:
        """The process is stopping: from now on no step waits long for the database, and none beyond this many seconds
        from now.

        Safe in signal handlers.
        """
