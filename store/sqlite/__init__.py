"""The store on SQLite, through sqlite-utils: one file in WAL mode that relay, worker and admin share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from store.protocols import Store
from store.sqlite.changes import SqliteChanges
from store.sqlite.claims import SqliteClaims
from store.sqlite.connections import Connections
from store.sqlite.decisions import SqliteDecisions
from store.sqlite.deliveries import SqliteDeliveries
from store.sqlite.effects import SqliteEffectsOfCalls
from store.sqlite.facts import SqliteFacts
from store.sqlite.hidden_paths import SqliteHiddenPaths
from store.sqlite.kept_definitions import SqliteKeptDefinitions
from store.sqlite.large_decisions import SqliteLargeDecisions
from store.sqlite.leadership import SqliteLeadership
from store.sqlite.maintenance import SqliteMaintenance
from store.sqlite.onces import SqliteOnceKeys
from store.sqlite.pauses import SqlitePauses
from store.sqlite.quarantine import SqliteQuarantine
from store.sqlite.queries import SqliteQueries
from store.sqlite.sessions import SqliteSessions
from store.sqlite.signals import ProcessWakeUp, SqliteSignals
from store.sqlite.task_locks import SqliteTaskLocks
from store.sqlite.tasks import SqliteTasks
from store.sqlite.transfer import SqliteTables
from store.sqlite.verifications import SqliteVerifications
from store.sqlite.workflows import SqliteWorkflows


class SqliteStore(Store):
    """The store on SQLite. `store.protocols` says what each part promises."""

    def __init__(self, connections: Connections, gather: Callable[[], None] | None = None):
        """`gather` lets other deliveries that are ready join a commit (`store.group_commit`)."""
        self._connections = connections
        self._wake_up = wake_up = ProcessWakeUp(f"{connections.path}-wake")
        self.deliveries = SqliteDeliveries(connections, wake_up, gather)
        self.verifications = SqliteVerifications(connections)
        self.leadership = SqliteLeadership(connections, wake_up)
        self.decisions = SqliteDecisions(connections)
        self.large_decisions = SqliteLargeDecisions(connections)
        self.tasks = SqliteTasks(connections)
        self.workflows = SqliteWorkflows(connections)
        self.claims = SqliteClaims(connections, wake_up)
        self.task_locks = SqliteTaskLocks(connections)
        self.once_keys = SqliteOnceKeys(connections)
        self.effects = SqliteEffectsOfCalls(connections)
        self.quarantine = SqliteQuarantine(connections)
        self.signals = SqliteSignals(connections, wake_up)
        self.pauses = SqlitePauses(connections, wake_up)
        self.facts = SqliteFacts(connections)
        self.kept_definitions = SqliteKeptDefinitions(connections)
        self.queries = SqliteQueries(connections)
        self.changes = SqliteChanges(connections)
        self.sessions = SqliteSessions(connections)
        self.hidden_paths = SqliteHiddenPaths(connections)
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
    gather: Callable[[], None] | None = None,
    nap: Callable[[float], None] = time.sleep,
) -> SqliteStore:
    """The store at ``sqlite:///PATH``.

    With `migrate` the database is made if there is none, and brought to this program's version; without, a missing
    database is an error, and nothing is written. `gather` lets other deliveries that are ready join a commit;
    `nap` waits for another process's commit, which is short (`store.sqlite.connections.begin`).

    Raises StoreUnavailable if it can't be opened or isn't there, NewerStore if a newer program made it.
    """
    connections = Connections(Path(url.removeprefix("sqlite:///")), nap)
    if migrate:
        connections.migrate()
    else:
        connections.check_version()
    return SqliteStore(connections, gather)
