"""What each process may do with the store: it sees no other parts.

`store.open.open_store` returns the whole store.
"""

from __future__ import annotations

from typing import Protocol

from store.sql.admin import Acknowledgements, Changes, Erasures, HiddenPaths, Sessions
from store.sql.answers import Answers
from store.sql.claims import Claims
from store.sql.database import Clock, Leadership, Signals
from store.sql.decisions import Decisions
from store.sql.deliveries import Deliveries, WithoutEvents
from store.sql.facts import (
    EffectsOfCalls,
    KeptDefinitions,
    OrkesClients,
    Pauses,
    StoredReports,
    Verifications,
)
from store.sql.joins import Joins
from store.sql.keys import Conversations, Lanes, OnceKeys
from store.sql.maintenance import Maintenance
from store.sql.quarantine import Quarantine
from store.sql.queries import Queries
from store.sql.raw_deliveries import RawDeliveries
from store.sql.tasks import KnownWorkflows, Tasks
from store.sql.waiting import WaitingTasks


class _Process(Clock, Protocol):
    """What every process may do: add events, and tell people what it does."""

    deliveries: Deliveries
    without_events: WithoutEvents
    answers: Answers
    reports: StoredReports
    kept_definitions: KeptDefinitions


class _Senders(Protocol):
    """What is known of those who send."""

    raw_deliveries: RawDeliveries
    verifications: Verifications
    hidden_paths: HiddenPaths


class _Work(Protocol):
    """What comes of events."""

    leadership: Leadership
    tasks: Tasks
    joins: Joins
    workflows: KnownWorkflows
    quarantine: Quarantine
    pauses: Pauses
    changes: Changes
    maintenance: Maintenance
    queries: Queries


class RelayStore(_Process, _Senders, Protocol):
    """What the relay may do: it knows of deliveries and their events, but not of what comes of
    them."""

    signals: Signals


class WorkerStore(_Process, _Work, Protocol):
    """What the worker may do: as leader it decides and keeps house, and it calls for what is
    decided."""

    signals: Signals
    decisions: Decisions
    waiting: WaitingTasks
    claims: Claims
    once_keys: OnceKeys
    lanes: Lanes
    conversations: Conversations
    effects: EffectsOfCalls


class AdminStore(_Process, _Senders, _Work, Protocol):
    """What people may do, by the admin process or the command line: look at everything, and change
    what waits or has ended."""

    acknowledgements: Acknowledgements
    erasures: Erasures
    sessions: Sessions
    orkes_clients: OrkesClients

    def close(self) -> None:
        """Closes this process's connections; the next use opens them again."""
