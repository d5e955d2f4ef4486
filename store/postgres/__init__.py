"""The store on PostgreSQL: one database shared by any number of relays, workers and admin pages, on
any hosts."""

from __future__ import annotations

import psycopg

from store.postgres import remedies, schema
from store.postgres.address import Address
from store.postgres.claims import PostgresClaims, PostgresEventRows
from store.postgres.connections import Connections
from store.postgres.deliveries import PostgresDeliveries, PostgresRawDeliveries
from store.postgres.leadership import PostgresLeadership
from store.postgres.maintenance import PostgresMaintenance, PostgresTables
from store.postgres.reads import PostgresDecisions, PostgresQueries
from store.postgres.signals import PostgresSignals
from store.sql.deliveries import Scheduler
from store.sql.store import Store


class PostgresStore(Store):
    """The store on PostgreSQL."""

    def __init__(self, connections: Connections, scheduler: Scheduler | None = None):
        """`scheduler`: see `store.sql.deliveries`."""
        signals = PostgresSignals(connections)
        events = PostgresEventRows()
        self.leadership = leadership = PostgresLeadership(connections, signals)
        super().__init__(connections, leadership, events, signals)
        self.deliveries = PostgresDeliveries(connections, signals, scheduler)
        self.decisions = PostgresDecisions(connections, leadership, events, signals)
        self.claims = PostgresClaims(connections, events, signals)
        self.queries = PostgresQueries(connections)
        self.raw_deliveries = PostgresRawDeliveries(connections)
        self.maintenance = PostgresMaintenance(connections)
        self.tables = PostgresTables(connections)


def open_store(
    url: str, *, migrate: bool = True, scheduler: Scheduler | None = None
) -> PostgresStore:
    """The store at ``postgresql://…``, as libpq reads it.

    With `migrate`, creates the tables if there are none, and migrates them to this program's
    schema; without, missing tables are an error, and nothing is written. `scheduler`: see
    `store.sql.deliveries`.

    Raises StoreUnavailable if it can't be opened or doesn't exist, NewerStore if it is for newer
    programs only.
    """
    connections = Connections(Address.parse(url))
    try:
        connection = connections.connect()
    except psycopg.Error as error:
        raise remedies.of_connecting(error, connections.address) from None
    try:
        if migrate:
            schema.migrate(connections, connection)
        else:
            schema.check_version(connections, connection)
    except psycopg.Error as error:
        raise remedies.of_migrating(error, connections.address) from error
    finally:
        connection.close()
    return PostgresStore(connections, scheduler)
