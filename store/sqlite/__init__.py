"""The store on SQLite, through sqlite-utils: one file in WAL mode that relay, worker and admin share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from store.sqlite.claims import Claims
from store.sqlite.connections import Connections
from store.sqlite.decisions import Decisions
from store.sqlite.deliveries import Deliveries
from store.sqlite.effects import EffectsOfCalls
from store.sqlite.kept_definitions import KeptDefinitions
from store.sqlite.leadership import Leadership
from store.sqlite.maintenance import Maintenance
from store.sqlite.onces import Onces
from store.sqlite.overdue import Overdue
from store.sqlite.page import Page
from store.sqlite.pauses import Pauses
from store.sqlite.quarantine import Quarantine
from store.sqlite.queries import Queries
from store.sqlite.signals import ProcessWakeUp, Signals
from store.sqlite.task_locks import TaskLocks
from store.sqlite.transfer import SqliteTables


class SqliteStore(
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
        self._connections = connections
        self._wake = ProcessWakeUp(f"{connections.path}-wake")
        Deliveries.__init__(self, gather)
        Leadership.__init__(self)

    def tables(self) -> SqliteTables:
        """The tables as they are, for a transfer."""
        return SqliteTables(self._connections)

    def close(self) -> None:
        """Closes this process's writer and this thread's reader; the next use opens them again."""
        self._connections.close()


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
