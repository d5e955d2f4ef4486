"""The store on SQLite: one file in WAL mode, shared by relay, worker and admin."""

from __future__ import annotations

from pathlib import Path

from store.sql.deliveries import Scheduler
from store.sql.store import Store
from store.sqlite.claims import SqliteClaims, SqliteEventRows
from store.sqlite.connections import Connections
from store.sqlite.deliveries import SqliteDeliveries
from store.sqlite.leadership import SqliteLeadership
from store.sqlite.maintenance import SqliteMaintenance, SqliteTables
from store.sqlite.reads import SqliteDecisions, SqliteQueries
from store.sqlite.signals import SqliteSignals


class SqliteStore(Store):
    """The store on SQLite."""

    def __init__(self, connections: Connections, scheduler: Scheduler | None = None):
        """`scheduler`: see `store.sql.deliveries`."""
        signals = SqliteSignals(connections)
        events = SqliteEventRows()
        self.leadership = leadership = SqliteLeadership(connections, signals)
        super().__init__(connections, leadership, events, signals)
        self.deliveries = SqliteDeliveries(connections, signals, scheduler)
        self.decisions = SqliteDecisions(connections, leadership, events, signals)
        self.claims = SqliteClaims(connections, events, signals)
        self.queries = SqliteQueries(connections)
        self.maintenance = SqliteMaintenance(connections)
        self.tables = SqliteTables(connections)


def open_store(
    url: str,
    *,
    migrate: bool = True,
    scheduler: Scheduler | None = None,
) -> SqliteStore:
    """The store at ``sqlite:///PATH``.

    With `migrate`, creates the database if there is none, and migrates it to this program's
    schema; without, a missing database is an error, and nothing is written. `scheduler`: see
    `store.sql.deliveries`.

    Raises StoreUnavailable if it can't be opened or doesn't exist, NewerStore if it is for newer
    programs only.
    """
    connections = Connections(Path(url.removeprefix("sqlite:///")), scheduler)
    if migrate:
        connections.migrate()
    else:
        connections.check_version()
    return SqliteStore(connections, scheduler)
