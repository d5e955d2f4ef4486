"""The store on SQLite, through sqlite-utils: one file in WAL mode that relay, worker and admin share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from events.sqlite.claims import Claims
from events.sqlite.connections import Connections
from events.sqlite.decisions import Decisions
from events.sqlite.deliveries import Deliveries
from events.sqlite.effects import EffectsOfCalls
from events.sqlite.kept_definitions import KeptDefinitions
from events.sqlite.leadership import Leadership
from events.sqlite.onces import Onces
from events.sqlite.overdue import Overdue
from events.sqlite.page import Page
from events.sqlite.pauses import Pauses
from events.sqlite.quarantine import Quarantine
from events.sqlite.queries import Queries
from events.sqlite.signals import Signals, WakeUp
from events.sqlite.task_locks import TaskLocks
from events.sqlite.transfer import SqliteTables
from events.sqlite.upkeep import Upkeep


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
    Upkeep,
    Queries,
    KeptDefinitions,
):
    """Everything that the processes do with the store (`events.store` says what each method promises)."""

    def __init__(self, connections: Connections, gather: Callable[[], None] | None = None):
        self._connections = connections
        self._wake = WakeUp(f"{connections.path}-wake")
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
    `nap` waits for another process's commit, which is short (`events.sqlite.connections.begin`).

    Raises StoreUnavailable if it can't be opened or isn't there, NewerStore if a newer program made it.
    """
    connections = Connections(Path(url.removeprefix("sqlite:///")), nap)
    if migrate:
        connections.migrate()
    else:
        connections.check_version()
    return SqliteStore(connections, gather)
