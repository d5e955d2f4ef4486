"""The store on SQLite, through sqlite-utils: one file in WAL mode, shared by relay, worker and admin."""

from __future__ import annotations

from pathlib import Path

from store.group_commit import Scheduler
from store.protocols import Store
from store.sql.admin import SqlChanges, SqlHiddenPaths, SqlSessions
from store.sql.effects import SqlEffectsOfCalls
from store.sql.facts import SqlFacts
from store.sql.kept_definitions import SqlKeptDefinitions
from store.sql.once_keys import SqlOnceKeys
from store.sql.pauses import SqlPauses
from store.sql.task_locks import SqlTaskLocks
from store.sql.verifications import SqlVerifications
from store.sqlite.claims import SqliteClaims
from store.sqlite.connections import Connections
from store.sqlite.decisions import SqliteDecisions
from store.sqlite.deliveries import SqliteDeliveries
from store.sqlite.large_decisions import SqliteLargeDecisions
from store.sqlite.leadership import SqliteLeadership
from store.sqlite.maintenance import SqliteMaintenance
from store.sqlite.quarantine import SqliteQuarantine
from store.sqlite.queries import SqliteQueries
from store.sqlite.signals import SqliteSignals
from store.sqlite.tasks import SqliteTasks
from store.sqlite.transfer import SqliteTables
from store.sqlite.workflows import SqliteWorkflows


class SqliteStore(Store):
    """The store on SQLite. `store.protocols` specifies each part."""

    def __init__(self, connections: Connections, scheduler: Scheduler | None = None):
        """`scheduler`: see `store.group_commit`."""
        self._connections = connections
        self.signals = signals = SqliteSignals(connections)
        self.deliveries = SqliteDeliveries(connections, signals, scheduler)
        self.verifications = SqlVerifications(connections)
        self.leadership = SqliteLeadership(connections, signals)
        self.decisions = SqliteDecisions(connections)
        self.large_decisions = SqliteLargeDecisions(connections)
        self.tasks = SqliteTasks(connections)
        self.workflows = SqliteWorkflows(connections)
        self.claims = SqliteClaims(connections, signals)
        self.task_locks = SqlTaskLocks(connections, signals)
        self.once_keys = SqlOnceKeys(connections)
        self.effects = SqlEffectsOfCalls(connections)
        self.quarantine = SqliteQuarantine(connections)
        self.pauses = SqlPauses(connections, signals)
        self.facts = SqlFacts(connections)
        self.kept_definitions = SqlKeptDefinitions(connections)
        self.queries = SqliteQueries(connections)
        self.changes = SqlChanges(connections)
        self.sessions = SqlSessions(connections)
        self.hidden_paths = SqlHiddenPaths(connections)
        self.maintenance = SqliteMaintenance(connections)
        self.tables = SqliteTables(connections)

    def now(self) -> int:
        return self._connections.now()

    def close(self) -> None:
        self._connections.close()

    def end_waits(self, seconds: float) -> None:
        self._connections.patience.end_in(seconds)


def open_store(
    url: str,
    *,
    migrate: bool = True,
    scheduler: Scheduler | None = None,
) -> SqliteStore:
    """The store at ``sqlite:///PATH``.

    With `migrate`, creates the database if there is none, and migrates it to this program's version; without, a missing
    database is an error, and nothing is written. `scheduler`: see `store.group_commit`.

    Raises StoreUnavailable if it can't be opened or doesn't exist, NewerStore if a newer program created it.
    """
    connections = Connections(Path(url.removeprefix("sqlite:///")), scheduler)
    if migrate:
        connections.migrate()
    else:
        connections.check_version()
    return SqliteStore(connections, scheduler)
