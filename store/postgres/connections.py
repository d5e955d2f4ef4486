"""Connections to the database: one pool per process, none shared across a fork; and the database's
clock.

Every wait is bounded. Where gevent has patched `select`, the wait for the server's answers happens
in Python, so that other greenlets continue. Statements name tables as ``bridge.TABLE``; the
address's schema replaces ``bridge`` when they are sent.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar, cast

import psycopg
from psycopg import errors, waiting
from psycopg_pool import ConnectionPool, PoolTimeout

from store.clock import ServerClock, SteadyClock
from store.errors import RowsUnavailable, StoreRefused, StoreUnavailable
from store.postgres import remedies
from store.postgres.address import Address
from store.postgres.text import take_any_text
from store.sql.database import Parameters, Rows, Statement, WaitLimits

_NUMBERS = (
    "added_at adopted_at at due_at fill_from first_target hold_until hour iteration key number"
    " read_at received_at response_timeout root_started_at scheduled_at seen_at seq shape shown_at"
    " since size status target_id tries used_at version wait wait_until waiting_since"
)
_TYPES = {**dict.fromkeys(_NUMBERS.split(), "bigint"), "next_at": "float8", "free": "bool"}
"""Types of the inserted columns; all others are text."""
_TYPES_IN = {"bridge.onces": {"key": "text"}}
"""Table → types of its columns, where another table's column has the same name."""


@lru_cache(maxsize=64)
def inserting(into: str) -> str:
    """The statement that inserts rows `into` ``bridge.TABLE (COLUMNS)``. Its parameters are one
    list per column."""
    table, _, columns = into.rstrip(")").partition(" (")
    types = _TYPES | _TYPES_IN.get(table, {})
    arrays = ", ".join(f"%b::{types.get(name, 'text')}[]" for name in columns.split(", "))
    return (
        f"INSERT INTO {into} SELECT {columns} FROM unnest({arrays}) WITH ORDINALITY AS new"
        f" ({columns}, place) ORDER BY place"
    )


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for nothing beyond `deadline`; then it is closed, as its state is
    unknown."""

    deadline = float("inf")
    """Monotonic clock."""
    begin = "BEGIN"
    """The statement that begins a transaction, including our settings if there is a pooler."""
    first: Sequence[tuple[Any, ...]] = ()
    """The rows of the statement that was sent along with BEGIN."""
    is_pooled = False
    """Whether there is a pooler in between: then sessions aren't ours, and settings and LISTEN
    don't last."""
    schema = ""
    """The schema with the bridge's tables, for which `bridge.` in a statement stands."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Waits for the server until the deadline at most."""
        left = max(0.0, self.deadline - time.monotonic())
        bound = left if timeout is None else min(left, timeout)
        try:
            if is_patched():
                return waiting.wait_poll(
                    gen, self.pgconn.socket, interval, None if bound == float("inf") else bound
                )
            return super().wait(gen, interval, None if bound == float("inf") else bound)
        except psycopg.OperationalError:
            if time.monotonic() >= self.deadline:
                self.pgconn.finish()
                raise psycopg.OperationalError("no answer in time") from None
            raise

    def sql(self, statement: str) -> bytes:
        """The statement with our schema."""
        return _in_schema(statement, self.schema)

    def fetch(self, statement: str, parameters: Parameters = ()) -> Rows:
        """Executes a statement; returns its rows."""
        return self.run(statement, parameters).fetchall()

    def write(self, statement: str, parameters: Parameters = ()) -> int:
        """Executes a statement; returns the number of rows written."""
        return self.run(statement, parameters).rowcount

    def run(self, statement: str, parameters: Parameters = ()) -> psycopg.Cursor[tuple[Any, ...]]:
        """Executes a statement."""
        return self.execute(self.sql(statement), parameters or None)

    def fetch_together(self, statements: Sequence[Statement]) -> list[Rows]:
        """Executes statements in one round trip; returns the rows of each.

        They are sent as one message. With several messages, as in a pipeline, the server might
        receive only the first ones, and wait for the rest without a time-out while holding their
        locks.
        """
        cursor = psycopg.ClientCursor(self)
        texts = [
            cursor.mogrify(self.sql(statement), parameters or None)
            for statement, parameters in statements
        ]
        found: list[Rows] = []
        if texts:
            cursor.execute("; ".join(texts).encode())
            for _ in texts:
                found.append(cursor.fetchall() if cursor.description else [])
                cursor.nextset()
        return found

    def insert(self, into: str, rows: Sequence[Sequence[Any]], rest: str = "") -> Rows:
        """Inserts rows `into` ``bridge.TABLE (COLUMNS)``. Returns the rows of RETURNING, if the
        `rest` has it."""
        if not rows:
            return []
        columns = [list(column) for column in zip(*rows, strict=True)]
        cursor = self.run(f"{inserting(into)} {rest}", columns)
        return cursor.fetchall() if cursor.description else []


@lru_cache(maxsize=512)
def _in_schema(statement: str, schema: str) -> bytes:
    return statement.replace("bridge.", f"{schema}.").encode()


def is_patched() -> bool:
    """Whether gevent has made `select` cooperative in this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("select"))


_READ_CLOCK = "SELECT extract(epoch FROM clock_timestamp()) * 1000"
_CLOCK_AGE = 15.0
"""Seconds after which the clock is read again, unless a transaction has begun since: each reads
it."""


class DatabaseClock:
    """Setting this machine's clock has no effect on it."""

    def __init__(self, own: SteadyClock):
        """`own` is this machine's clock."""
        self.own = own
        self._server = ServerClock()
        self._read_at = float("-inf")

    def now(self) -> int:
        """The database's time in milliseconds, by its last measured offset."""
        return round(self.own.now() + self._server.offset)

    @property
    def is_due(self) -> bool:
        """Whether the clock is to be read again."""
        return time.monotonic() >= self._read_at + _CLOCK_AGE

    def observe(self, found: Rows, sent: float) -> None:
        """Learns from the answer to `_READ_CLOCK`, which has just come; the request left at that
        time of our own clock."""
        self._server.observe(float(found[0][0]), sent, self.own.now())
        self._read_at = time.monotonic()


_Value = TypeVar("_Value")

PATIENT = 10.0
"""Seconds for a transaction, including the wait for a connection."""
READING = 60.0
"""Seconds for people's queries: counting millions of events takes a while."""
_RETRY = 0.1
_TIDYING = 1.0
"""Seconds for the pool to clean up a connection that is returned in the middle of something."""
_MOST = 8
"""Connections per process."""
_IDLE = 300.0
LOCK_TIMEOUT = 1.5
"""Seconds that a statement waits for another transaction: less than a delivery has."""
_SESSION = {
    # The client gives up sooner; this ends what it left behind.
    "statement_timeout": "90s",
    "lock_timeout": f"{int(LOCK_TIMEOUT * 1000)}ms",
    "idle_in_transaction_session_timeout": "15s",
    # Whatever the server's default is: of statements in one message, each must see what has been
    # committed until then.
    "default_transaction_isolation": "read committed",
}
_GONE = {
    "tcp_keepalives_idle": "5s",
    "tcp_keepalives_interval": "2s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11s",
}
"""Makes the server's kernel drop the sessions of a host that was cut off, whatever they wait for.
"""
_CAN_BE_WRITTEN = "LOCK TABLE bridge.events, bridge.targets, bridge.tasks IN ROW EXCLUSIVE MODE"
"""Succeeds unless the server is damaged as a whole, or somebody has locked a whole table."""

# The caller that needs a connection reports why there is none.
logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)


class Connections:
    """Lends connections to one database. Safe to create before a fork: the child opens its own."""

    def __init__(self, address: Address, own_clock: SteadyClock | None = None):
        """`own_clock` is this machine's."""
        self.address = address
        self._clock = DatabaseClock(SteadyClock() if own_clock is None else own_clock)
        self.wait_limits = WaitLimits()
        self._inherited: list[object] = []
        self._pool: ConnectionPool[Connection] | None = None
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        if self._pool is not None:
            # Keep a reference, since closing it would end the parent's sessions.
            self._inherited.append(self._pool)
        self._pool = None
        self._opening = threading.Lock()
        self._last_error: BaseException | None = None
        self._clock = DatabaseClock(self._clock.own)

    # --- the clock ---

    def now(self) -> int:
        """The database's time in milliseconds."""
        return self._clock.now()

    def look_at_clock(self, connection: Connection) -> None:
        """Measures the offset, if due."""
        if self._clock.is_due:
            sent = self._clock.own.now()
            self._clock.observe(connection.execute(_READ_CLOCK).fetchall(), sent)

    # --- statements ---

    def read(
        self,
        statement: str,
        parameters: Parameters = (),
        seconds: float = READING,
        until: float = float("inf"),
    ) -> Rows:
        """The rows of one read-only statement. Raises StoreUnavailable after this many seconds at
        the latest, and no later than `until` (monotonic clock)."""
        return self.run_again(
            lambda connection: connection.fetch(statement, parameters), seconds, until
        )

    def read_together(self, *statements: Statement) -> list[Rows]:
        """The rows of each of several read-only statements, in one round trip. Raises
        StoreUnavailable."""
        return self.run_again(lambda connection: connection.fetch_together(statements), READING)

    def run_again(
        self, action: Callable[[Connection], _Value], seconds: float, until: float = float("inf")
    ) -> _Value:
        """What `action(connection)` returns; repeated if the connection broke, as idle ones do when
        the server restarts.

        So it must be safe to run twice. Raises StoreUnavailable.
        """
        until = self.wait_limits.until(seconds, until)
        with self._translated(until):
            for tried in range(_MOST + 1):
                with self.lent(until) as connection:
                    try:
                        return action(connection)
                    except psycopg.OperationalError:
                        if tried == _MOST or not connection.broken or time.monotonic() >= until:
                            raise
        raise AssertionError

    @contextmanager
    def transaction(
        self, seconds: float = PATIENT, first: str = "", until: float = float("inf")
    ) -> Iterator[Connection]:
        """One transaction. Raises StoreUnavailable; if that happens during the commit, it may or
        may not have been committed.

        `first` is a statement without parameters that is sent along with BEGIN in one round trip;
        the connection's `first` then holds its rows.
        """
        until = self.wait_limits.until(seconds, until)
        with self._translated(until), self._begun(until, first) as connection:
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if not connection.broken:
                    with suppress(psycopg.Error):
                        connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self, until: float) -> Iterator[None]:
        """Turns PostgreSQL's errors into the store's. Before it raises RowsUnavailable, it asks the
        server whether everything else can be used, until that time (monotonic clock) at most."""
        try:
            with remedies.translated():
                yield
        except RowsUnavailable:
            try:
                with self._begun(until, "") as connection:
                    connection.run(_CAN_BE_WRITTEN)
                    connection.execute("ROLLBACK")
            except psycopg.Error as error:
                raise StoreUnavailable(f"PostgreSQL: {error}") from error
            raise

    @contextmanager
    def _begun(self, until: float, first: str) -> Iterator[Connection]:
        """A connection in a transaction; a second one if the first had broken while idle."""
        while True:
            with self.lent(until) as connection:
                try:
                    self._begin(connection, first)
                except psycopg.OperationalError:
                    if connection.broken and time.monotonic() < until:
                        continue
                    raise
                yield connection
                return

    def _begin(self, connection: Connection, first: str) -> None:
        """Begins a transaction, and looks at the clock in the same round trip.

        A virtual machine's clocks stand still while it is halted. What a worker writes then, claims
        above all, would look older than it is until the next reading.
        """
        sent = self._clock.own.now()
        statements = [
            connection.begin,
            _READ_CLOCK,
            *([connection.sql(first).decode()] if first else []),
        ]
        cursor = connection.execute("; ".join(statements))
        found: list[Rows] = [cursor.fetchall()] if cursor.description else []
        while cursor.nextset():
            if cursor.description:
                found.append(cursor.fetchall())
        self._clock.observe(found[0], sent)
        connection.first = found[1] if first else ()

    @contextmanager
    def lent(self, until: float, seconds: float = READING) -> Iterator[Connection]:
        """A connection from the pool, to be used until that time (monotonic clock); waits `seconds`
        at most for one.

        Raises psycopg's errors, and StoreUnavailable if there is none.
        """
        pool = self._open_pool()
        connection = self._take(pool, min(until, time.monotonic() + seconds))
        try:
            connection.deadline = until
            self.look_at_clock(connection)
            yield connection
        except errors.ReadOnlySqlTransaction:
            connection.close()  # the server was demoted to a standby: a new connection may find the new primary
            raise
        finally:
            connection.deadline = time.monotonic() + _TIDYING
            pool.putconn(connection)

    def _take(self, pool: ConnectionPool[Connection], until: float) -> Connection:
        while True:
            try:
                # The pool tries to connect when asked, but doesn't retry for a waiting caller: so
                # ask often.
                connection = pool.getconn(_RETRY)
            except PoolTimeout:
                if self.wait_limits.is_over(until):
                    break
                continue
            with suppress(psycopg.OperationalError):
                connection.pgconn.consume_input()  # tells whether the server has closed it
            if not connection.broken:
                return connection
            pool.putconn(connection)
        if self._last_error is not None:
            raise remedies.of_connecting(self._last_error, self.address)
        raise StoreUnavailable(f"PostgreSQL: no connection to {self.address.shown} in time")

    # --- opening ---

    def connect(self) -> Connection:
        """A connection outside of the pool, ready for use. Raises psycopg's errors, or
        StoreUnavailable."""
        connection = Connection.connect(
            **self.address.parameters,  # type: ignore[arg-type]
            autocommit=True,
            prepare_threshold=None,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_pool(self) -> ConnectionPool[Connection]:
        with self._opening:
            if self._pool is None:
                self._pool = ConnectionPool(
                    connection_class=cast(type[Connection], _Connecting(self)),
                    min_size=1,
                    max_size=_MOST,
                    max_idle=_IDLE,
                    reconnect_timeout=0,
                    num_workers=2,
                    open=True,
                    name="webhook-bridge",
                )
            return self._pool

    def _prepare(self, connection: Connection) -> None:
        """Checks what kind of server answers, and configures the session if it can be ours."""
        take_any_text(connection)
        connection.schema = self.address.schema
        connection.deadline = time.monotonic() + PATIENT
        version, process, durable = connection.execute(
            "SELECT current_setting('server_version_num')::int, pg_backend_pid(),"
            " current_setting('synchronous_commit')"
        ).fetchall()[0]
        if version < remedies.OLDEST_SERVER:
            raise StoreRefused(remedies.too_old(version))
        settings = dict(_SESSION)
        if durable == "off":
            settings["synchronous_commit"] = "on"  # every sender that got a 2xx relies on it
        # A pooler speaks for many server processes, and reports a process number of its own.
        connection.is_pooled = process != connection.info.backend_pid
        if connection.is_pooled:
            local = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())
            connection.begin = f"BEGIN; {local}"
        else:
            settings |= _GONE
            if version >= 140000:
                settings["client_connection_check_interval"] = "1s"
            connection.execute(
                "; ".join(f"SET {name} = '{value}'" for name, value in settings.items())
            )
        self.look_at_clock(connection)
        connection.deadline = float("inf")
        self._last_error = None

    def close(self) -> None:
        """Closes this process's connections; the next use opens them again."""
        with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(timeout=1)


class _Connecting:
    """The pool's connection class; remembers why no connection was made."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def connect(self, _conninfo: str = "", **_settings: Any) -> Connection:
        try:
            return self._connections.connect()
        except (psycopg.Error, StoreUnavailable) as error:
            self._connections._last_error = error
            raise
