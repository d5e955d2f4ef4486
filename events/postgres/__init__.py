"""The store on PostgreSQL: one database that any number of relays, workers and admin pages share, on any hosts."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from events.postgres import migrations, words
from events.postgres.address import Address
from events.postgres.claims import Claims
from events.postgres.connections import Connections
from events.postgres.decisions import Decisions
from events.postgres.deliveries import Deliveries
from events.postgres.effects import EffectsOfCalls
from events.postgres.kept_definitions import KeptDefinitions
from events.postgres.leadership import Leadership
from events.postgres.onces import Onces
from events.postgres.overdue import Overdue
from events.postgres.page import Page
from events.postgres.pauses import Pauses
from events.postgres.quarantine import Quarantine
from events.postgres.queries import Queries
from events.postgres.signals import Bell, Signals
from events.postgres.task_locks import TaskLocks
from events.postgres.transfer import PostgresTables
from events.postgres.upkeep import Upkeep


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
    Upkeep,
    Queries,
    KeptDefinitions,
):
    """Everything that the processes do with the store (`events.store` says what each method promises)."""

    def __init__(self, connections: Connections, gather: Callable[[], None] | None = None):
        """`gather` lets other deliveries that are ready join a commit."""
        self._connections = connections
        self._bell = Bell(connections)
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
