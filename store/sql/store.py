"""The store: an object of small parts. `store.sqlite` and `store.postgres` have what differs
between the databases.

All times are Unix milliseconds by the store's clock (`Store.now`). Unless it says otherwise, every
method of every part raises StoreUnavailable if the store is unavailable: then nothing has changed,
or everything has and the answer was lost. Methods that change very many rows work in steps, each a
transaction, some of which may have been committed by then.

`store.rules.transitions` defines what follows from a decision or a result; a store reads, calls it,
and writes.
"""

from __future__ import annotations

from store.sql.admin import Acknowledgements, Changes, Erasures, HiddenPaths, Sessions
from store.sql.answers import Answers
from store.sql.claims import Claims
from store.sql.database import Connections, Deciding, Leadership, Signals
from store.sql.decisions import Decisions
from store.sql.deliveries import Deliveries, WithoutEvents
from store.sql.event_rows import EventRows
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
from store.sql.maintenance import Maintenance, Tables
from store.sql.quarantine import Quarantine
from store.sql.queries import Queries
from store.sql.raw_deliveries import RawDeliveries
from store.sql.tasks import KnownWorkflows, Tasks
from store.sql.waiting import WaitingTasks


class Store:
    """The whole store. Code that needs one part takes that part."""

    leadership: Leadership
    deliveries: Deliveries
    decisions: Decisions
    claims: Claims
    queries: Queries
    maintenance: Maintenance
    tables: Tables

    def __init__(
        self,
        connections: Connections,
        leadership: Deciding,
        events: EventRows,
        signals: Signals,
    ):
        self._connections = database = connections
        self.signals = signals
        self.without_events = WithoutEvents(database)
        self.raw_deliveries = RawDeliveries(database)
        self.answers = Answers(database, signals)
        self.verifications = Verifications(database)
        self.tasks = Tasks(database, leadership)
        self.waiting = WaitingTasks(database)
        self.joins = Joins(database, leadership)
        self.workflows = KnownWorkflows(database)
        self.once_keys = OnceKeys(database)
        self.lanes = Lanes(database)
        self.conversations = Conversations(database, events, signals)
        self.effects = EffectsOfCalls(database)
        self.quarantine = Quarantine(database)
        self.pauses = Pauses(database, signals)
        self.reports = StoredReports(database)
        self.orkes_clients = OrkesClients(database)
        self.kept_definitions = KeptDefinitions(database)
        self.acknowledgements = Acknowledgements(database)
        self.erasures = Erasures(database)
        self.changes = Changes(database)
        self.sessions = Sessions(database)
        self.hidden_paths = HiddenPaths(database)

    def now(self) -> int:
        """The store's time, in Unix milliseconds. Needs no round trip, and never raises."""
        return self._connections.now()

    def close(self) -> None:
        """Closes this process's connections; the next use opens them again."""
        self._connections.close()

    def end_waits(self, seconds: float) -> None:
        """The process is stopping: from now on no step waits long for the database, and none beyond
        this many seconds from now.

        Safe in signal handlers.
        """
        self._connections.wait_limits.end_in(seconds)
