"""Leadership: a row with the holder and when its term ends, by the database's clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from store.errors import LeadershipLost
from store.postgres.connections import PATIENT, READING, Connection, Connections
from store.postgres.signals import PostgresSignals
from store.records import Term
from store.sql.database import Leadership

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
"""The database's clock when the statement runs; `now()` is when its transaction began."""
_LEAD = f"SELECT holder, until, {_NOW} FROM bridge.leads WHERE name = 'decider'"
NOBODY = ""
"""The holder after a leader has resigned."""


class PostgresLeadership(Leadership):
    """Leadership on PostgreSQL.

    A broken connection doesn't prove that its leader has ended: the term must run out. However late
    a leader writes, each deciding transaction locks the row: it either ends before another worker
    becomes leader, or finds that one has.
    """

    def __init__(self, connections: Connections, signals: PostgresSignals):
        self._connections = connections
        self._signals = signals

    def elect(self, worker: str, seconds: float) -> Term | None:
        # Look before locking anything: most of the time another worker is leader.
        for before, before_until, now in self._connections.read(_LEAD):
            if before not in (NOBODY, worker) and before_until >= now:
                return None
        with self._connections.transaction() as connection:
            connection.write(
                "INSERT INTO bridge.leads (name, holder, until) VALUES ('decider', %s, 0) ON"
                " CONFLICT DO NOTHING",
                (NOBODY,),
            )
            before, before_until, now = connection.fetch(f"{_LEAD} FOR UPDATE")[0]
            # The clock may have been read before the lock was acquired: the older time errs on the
            # safe side.
            if before not in (NOBODY, worker) and before_until >= now:
                return None
            until: int = now + int(seconds * 1000)
            connection.write(
                "UPDATE bridge.leads SET holder = %s, until = %s WHERE name = 'decider'",
                (worker, until),
            )
        if before == NOBODY:
            return Term(worker)
        return Term(worker, before, min(now, before_until))

    def renew(self, term: Term, seconds: float) -> bool:
        with self._connections.transaction() as connection:
            return bool(
                connection.write(
                    f"UPDATE bridge.leads SET until = {_NOW} + %s WHERE name = 'decider' AND holder"
                    " = %s",
                    (int(seconds * 1000), term.holder),
                )
            )

    def resign(self, term: Term) -> None:
        with self._connections.transaction() as connection:
            connection.write(
                "UPDATE bridge.leads SET holder = %s, until = 0 WHERE name = 'decider' AND holder"
                " = %s",
                (NOBODY, term.holder),
            )
        self._signals.notify("targets")

    def leader(self) -> tuple[str, int] | None:
        found = self._connections.read(_LEAD)
        return (found[0][0], found[0][1]) if found and found[0][0] != NOBODY else None

    @contextmanager
    def deciding(self, term: Term, *, large: bool = False) -> Iterator[Connection]:
        """A transaction in which only the leader may write. Raises LeadershipLost if another worker
        leads now."""
        seconds = READING if large else PATIENT
        with self._connections.transaction(seconds, first=f"{_LEAD} FOR KEY SHARE") as connection:
            # Taking leadership locks the row FOR UPDATE, and so waits for all of these
            # transactions. Renewing it changes no key, and so doesn't wait.
            if not connection.first or connection.first[0][0] != term.holder:
                raise LeadershipLost
            yield connection
