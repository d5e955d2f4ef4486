"""The parts of a store that are the same on both databases."""

from __future__ import annotations

from store.protocols import Signals, Store
from store.sql.acknowledgements import SqlAcknowledgements
from store.sql.admin import SqlChanges, SqlHiddenPaths, SqlSessions
from store.sql.answers import SqlAnswers
from store.sql.database import Database, Deciding
from store.sql.effects import SqlEffectsOfCalls
from store.sql.event_rows import EventRows
from store.sql.facts import SqlFacts
from store.sql.kept_definitions import SqlKeptDefinitions
from store.sql.kept_deliveries import SqlKeptDeliveries
from store.sql.lanes import SqlLanes
from store.sql.large_decisions import SqlLargeDecisions
from store.sql.once_keys import SqlOnceKeys
from store.sql.pauses import SqlPauses
from store.sql.quarantine import SqlQuarantine
from store.sql.raw_deliveries import SqlRawDeliveries
from store.sql.saved_deliveries import SqlSavedDeliveries
from store.sql.task_locks import SqlTaskLocks
from store.sql.tasks import SqlTasks
from store.sql.verifications import SqlVerifications
from store.sql.without_events import SqlWithoutEvents
from store.sql.workflows import SqlWorkflows


class SqlStore(Store):
    """A store on a database. The subclasses add the parts that differ."""

    def __init__(
        self, database: Database, impatient: Database, leadership: Deciding, events: EventRows, signals: Signals
    ):
        """`impatient`: the database, for statements that a delivery waits for."""
        self.signals = signals
        self.kept_deliveries = SqlKeptDeliveries(database)
        self.without_events = SqlWithoutEvents(database)
        self.raw_deliveries = SqlRawDeliveries(database)
        self.answers = SqlAnswers(database, impatient, signals)
        self.verifications = SqlVerifications(impatient)
        self.large_decisions = SqlLargeDecisions(database, leadership, events, signals)
        self.tasks = SqlTasks(database, leadership, signals)
        self.workflows = SqlWorkflows(database)
        self.task_locks = SqlTaskLocks(database, signals)
        self.once_keys = SqlOnceKeys(database)
        self.lanes = SqlLanes(database)
        self.effects = SqlEffectsOfCalls(database)
        self.quarantine = SqlQuarantine(database)
        self.pauses = SqlPauses(database, signals)
        self.facts = SqlFacts(database)
        self.kept_definitions = SqlKeptDefinitions(database)
        self.acknowledgements = SqlAcknowledgements(database)
        self.changes = SqlChanges(database)
        self.sessions = SqlSessions(database)
        self.hidden_paths = SqlHiddenPaths(database)
        self.saved_deliveries = SqlSavedDeliveries(database)
