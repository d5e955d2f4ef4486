"""The store on PostgreSQL: one database that any number of relays, workers and admin pages share, on any hosts."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from store.postgres import migrations, words
from store.postgres.address import Address
from store.postgres.changes import PostgresChanges
from store.postgres.claims import PostgresClaims
from store.postgres.connections import Connections
from store.postgres.decisions import PostgresDecisions
from store.postgres.deliveries import PostgresDeliveries
from store.postgres.effects import PostgresEffectsOfCalls
from store.postgres.facts import PostgresFacts
from store.postgres.hidden_paths import PostgresHiddenPaths
from store.postgres.kept_definitions import PostgresKeptDefinitions
from store.postgres.large_decisions import PostgresLargeDecisions
from store.postgres.leadership import PostgresLeadership
from store.postgres.maintenance import PostgresMaintenance
from store.postgres.onces import PostgresOnceKeys
from store.postgres.pauses import PostgresPauses
from store.postgres.quarantine import PostgresQuarantine
from store.postgres.queries import PostgresQueries
from store.postgres.sessions import PostgresSessions
from store.postgres.signals import PostgresSignals, ProcessWakeUp
from store.postgres.task_locks import PostgresTaskLocks
from store.postgres.tasks import PostgresTasks
from store.postgres.transfer import PostgresTables
from store.postgres.verifications import PostgresVerifications
from store.postgres.workflows import PostgresWorkflows
from store.protocols import Store


class PostgresStore(Store):
    """The store on PostgreSQL. `store.protocols` says what each part promises."""

    def __init__(self, connections: Connections, gather: Callable[[], None] | None = None):
        """`gather` lets other deliveries that are ready join a commit (`store.group_commit`)."""
        self._connections = connections
        self._wake_up = wake_up = ProcessWakeUp(connections)
        self.deliveries = PostgresDeliveries(connections, wake_up, gather)
        self.verifications = PostgresVerifications(connections)
        self.leadership = PostgresLeadership(connections, wake_up)
        self.decisions = PostgresDecisions(connections, wake_up)
        self.large_decisions = PostgresLargeDecisions(connections, wake_up)
        self.tasks = PostgresTasks(connections, wake_up)
        self.workflows = PostgresWorkflows(connections)
        self.claims = PostgresClaims(connections, wake_up)
        self.task_locks = PostgresTaskLocks(connections, wake_up)
        self.once_keys = PostgresOnceKeys(connections)
        self.effects = PostgresEffectsOfCalls(connections)
        self.quarantine = PostgresQuarantine(connections)
        self.signals = PostgresSignals(connections)
        self.pauses = PostgresPauses(connections, wake_up)
        self.facts = PostgresFacts(connections)
        self.kept_definitions = PostgresKeptDefinitions(connections)
        self.queries = PostgresQueries(connections)
        self.changes = PostgresChanges(connections)
        self.sessions = PostgresSessions(connections)
        self.hidden_paths = PostgresHiddenPaths(connections)
        self.maintenance = PostgresMaintenance(connections)
        self.tables = PostgresTables(connections)

    def now(self) -> int:
        return self._connections.now()

    def close(self) -> None:
        self._connections.close()

    def end_waits(self, seconds: float) -> None:
        self._connections.patience.end_in(seconds)


def open_store(url: str, *, migrate: bool = True, gather: Callable[[], None] | None = None) -> PostgresStore:
    """The store at ``postgresql://…``, as libpq reads it.

    With `migrate` the tables are made if there are none, and brought to this program's version; without, missing tables
    are an error, and nothing is written. `gather` lets other deliveries that are ready join a commit.

    Raises StoreUnavailable if it can't be opened or isn't there, NewerStore if a newer program made it.
    """
    connections = Connections(Address.parse(url))
    try:
        connection = connections.connect()
    except psycopg.Error as error:
        raise words.of_connecting(error, connections.address) from None
    try:
        if migrate:
            migrations.migrate(connections, connection)
        else:
            migrations.check_version(connections, connection)
    except psycopg.Error as error:
        raise words.of_migrating(error, connections.address) from error
    finally:
        connection.close()
    return PostgresStore(connections, gather)
