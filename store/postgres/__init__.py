"""The store on PostgreSQL: one database that any number of relays, workers and admin pages share, on any hosts."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from store.postgres import migrations, words
from store.postgres.address import Address
from store.postgres.claims import Claims
from store.postgres.connections import Connections
from store.postgres.decisions import Decisions
from store.postgres.deliveries import Deliveries
from store.postgres.effects import EffectsOfCalls
from store.postgres.kept_definitions import KeptDefinitions
from store.postgres.leadership import Leadership
from store.postgres.maintenance import Maintenance
from store.postgres.onces import Onces
from store.postgres.overdue import Overdue
from store.postgres.page import Page
from store.postgres.pauses import Pauses
from store.postgres.quarantine import Quarantine
from store.postgres.queries import Queries
from store.postgres.signals import ProcessWakeUp, Signals
from store.postgres.task_locks import TaskLocks
from store.postgres.transfer import PostgresTables


class PostgresStore(
    Deliveries,
    Leadership,
    Decisions,
    Claims,
    EffectsOfCalls,
    Onces,
    Overdue,
    Page,
    Pauses,
    Quarantine,
    Signals,
    TaskLocks,
    Maintenance,
    Queries,
    KeptDefinitions,
):
    """Everything that the processes do with the store (`store.protocols` says what each method promises)."""

    def __init__(self, connections: Connections, gather: Callable[[], None] | None = None):
        """`gather` lets other deliveries that are ready join a commit."""
        self._connections = connections
        self._wakeup = ProcessWakeUp(connections)
        Deliveries.__init__(self, gather)

    def tables(self) -> PostgresTables:
        """The tables as they are, for a transfer."""
        return PostgresTables(self._connections)

    def close(self) -> None:
        """Closes this process's connections; the next use opens them again."""
        self._connections.close()


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
