"""Connections to the database: one writer per process, one reader per thread, none shared across a
fork.

Each is sqlite-utils' `Database`, which also takes shared statements (`store.sql`).
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from config import private
from store.errors import RowsUnavailable, StoreMissing, StoreRefused, StoreUnavailable, Unstorable
from store.sql import storable
from store.sql.database import Parameters, Rows, Statement, WaitLimits
from store.sql.deliveries import Scheduler
from store.sqlite.schema import SCHEMA, migrations


class Connection(Database):
    """A connection that takes shared statements, and any text."""

    def execute(self, sql: str, parameters: Any = None) -> sqlite3.Cursor:
        sql = in_sqlite(sql)
        try:
            return super().execute(sql, parameters)
        except UnicodeEncodeError:  # nothing was executed
            if isinstance(parameters, Mapping):
                return super().execute(
                    sql, {name: _storable(value) for name, value in parameters.items()}
                )
            return super().execute(sql, [_storable(value) for value in parameters])

    def fetch(self, statement: str, parameters: Parameters = ()) -> Rows:
        """Executes a statement; returns its rows."""
        return self.execute(statement, parameters).fetchall()

    def write(self, statement: str, parameters: Parameters = ()) -> int:
        """Executes a statement without result rows; returns the number of rows written."""
        return self.execute(statement, parameters).rowcount

    def fetch_together(self, statements: Sequence[Statement]) -> list[Rows]:
        """Executes statements. Returns the rows of each."""
        return [self.fetch(*statement) for statement in statements]

    def insert(self, into: str, rows: Sequence[Sequence[Any]], rest: str = "") -> Rows:
        """Inserts rows `into` ``bridge.TABLE (COLUMNS)``. Returns the rows of RETURNING, if the
        `rest` has it."""
        statement = (
            f"INSERT INTO {into} VALUES ({', '.join(['%s'] * len(rows[0]))}) {rest}" if rows else ""
        )
        return [found for row in rows for found in self.fetch(statement, row)]


_LOCK = re.compile(r"\s+FOR (?:UPDATE|NO KEY UPDATE|KEY SHARE)(?: SKIP LOCKED)?")
_ANY = re.compile(r"= ANY\((%s|%\(\w+\)s)\)")
_UNNEST = re.compile(r"unnest\(%s::text\[\]\) AS (\w+) \((\w+)\)")
_NAMED = re.compile(r"%\((\w+)\)s")


@lru_cache(maxsize=512)
def in_sqlite(statement: str) -> str:
    """The statement in SQLite's syntax. One that is SQLite's already is returned unchanged.

    No rows are locked: a write transaction locks the whole database. Lists are passed as JSON
    (`_as_json`).
    """
    if "bridge." not in statement:
        return statement
    text = _LOCK.sub("", statement.replace("bridge.", ""))
    text = _UNNEST.sub(r"(SELECT value AS \2 FROM json_each(?)) AS \1", text)
    text = _ANY.sub(r"IN (SELECT value FROM json_each(\1))", text).replace("strpos(", "instr(")
    text = text.replace("octet_length(", "length(").replace(' COLLATE "C"', "")
    return _NAMED.sub(r":\1", text.replace("%s", "?"))


def _storable(value: Any) -> Any:
    return storable.text(value) if isinstance(value, str) else value


def _as_json(values: list[Any]) -> str:
    # SQLite's JSON ends a text at its first NUL, so that it would be a different one.
    return json.dumps(
        [storable.text_without_nul(one) if isinstance(one, str) else one for one in values]
    )


sqlite3.register_adapter(list, _as_json)


BUSY_TIMEOUT = 2.5
"""Seconds that a write waits for another process's transaction before the store counts as
unavailable: less than the three seconds within which Slack and others want an answer."""
_MIGRATION = 120.0
"""The same for the migration of a large database by another process."""
_NAP = 0.0001
_NAPS = 20
_LONGEST_SLEEP = 0.002
_PAGES_UNTIL_CHECKPOINT = 8000
_READER_CACHE = 512
"""KB of pages that a thread's connection keeps, of which each commit elsewhere makes all stale.
SQLite's 2,000 would be most of a worker's memory, which has a hundred threads."""
# The sqlite3 module names them since Python 3.11.
_SQLITE_BUSY, _SQLITE_CORRUPT, _SQLITE_CANTOPEN, _SQLITE_NOTADB = 5, 11, 14, 26
_CODES = {
    "locked": _SQLITE_BUSY,
    "malformed": _SQLITE_CORRUPT,
    "unable to open": _SQLITE_CANTOPEN,
    "not a database": _SQLITE_NOTADB,
}
"""Words of an error → its code, for Python 3.10."""


class Connections:
    """Opens connections to one database file as they are needed.

    Safe to create before a fork: the child leaves alone what the parent opened.
    """

    def __init__(self, path: Path, scheduler: Scheduler | None = None):
        """`scheduler` says how to wait for short moments (see `when_free`); a thread sleeps."""
        self.path = path
        self.wait_limits = WaitLimits()
        self.busy_timeout = BUSY_TIMEOUT
        self._nap = time.sleep if scheduler is None else scheduler.block
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._readers = threading.local()
        self._writer: Connection | None = None
        self._writing = threading.Lock()

    def now(self) -> int:
        """This machine's clock, in Unix milliseconds; all of the database's processes run on this
        machine."""
        return int(time.time() * 1000)

    @property
    def mode(self) -> int:
        """The mode of files beside the database: its own, which SQLite gives `-wal` and `-shm`."""
        with suppress(OSError):
            return stat.S_IMODE(self.path.stat().st_mode)
        return 0o600

    # --- opening ---

    def _open(self, *, create: bool = False) -> Connection:
        mode = "rwc" if create else "rw"
        # The time-out applies to opening and to readers, which wait only rarely: for recovery after
        # a crash, or the end of a checkpoint.
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=self.busy_timeout,
            cached_statements=256,
        )
        connection.text_factory = storable.stored
        db = Connection(connection, execute_plugins=False)
        db.execute("PRAGMA synchronous=FULL")
        return db

    def _open_writer(self) -> Connection:
        db = self._open()
        db.execute("PRAGMA busy_timeout=0")  # `when_free` waits, in shorter naps
        # By default a statement's undo log moves to a file from 64 KB on, which a dozen deliveries
        # reach.
        db.execute("PRAGMA temp_store=MEMORY")
        # The worker checkpoints regularly; this is for when no worker runs, and keeps it off the
        # relay's commits.
        db.execute(f"PRAGMA wal_autocheckpoint={_PAGES_UNTIL_CHECKPOINT}")
        return db

    @property
    def reader(self) -> Connection:
        """This thread's connection for reading."""
        db: Connection | None = getattr(self._readers, "db", None)
        if db is None:
            with translated():
                db = self._readers.db = self._open()
                db.execute(f"PRAGMA cache_size={-_READER_CACHE}")
        return db

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """This thread's connection for reading. Raises StoreUnavailable when the database can't be
        read."""
        with translated():
            try:
                yield self.reader
            except sqlite3.Error as error:
                if _is_stale_after(error):
                    self._close_reader()
                self._raise_if_of_rows(error)
                raise

    def _raise_if_of_rows(self, error: sqlite3.Error) -> None:
        """Raises RowsUnavailable if a part of the file is damaged, but the database can still be
        opened and read."""
        if error_code(error) == _SQLITE_CORRUPT:
            with translated(), self._open() as db:
                db.table_names()
            raise RowsUnavailable(f"SQLite: {error}") from error

    def read(
        self, statement: str, parameters: Parameters = (), *, until: float = float("inf")
    ) -> Rows:
        """The rows of a query, which never waits for a writer. Raises StoreUnavailable when the
        database can't be read."""
        with self.reading() as db:
            return db.fetch(statement, parameters)

    def read_together(self, *statements: Statement) -> list[Rows]:
        """The rows of several queries. Raises StoreUnavailable when the database can't be read."""
        return [self.read(*statement) for statement in statements]

    def read_some(
        self, sql: str, parameters: Iterable[Any], most: int, size: Callable[[tuple[Any, ...]], int]
    ) -> tuple[list[tuple[Any, ...]], bool]:
        """The first rows of a query, until their sizes add up to `most`, and whether more may
        follow.

        The row that exceeds it is the last one that is read. Raises StoreUnavailable.
        """
        found: list[tuple[Any, ...]] = []
        with self.reading() as db:
            cursor = db.execute(sql, tuple(parameters))
            try:
                for row in cursor:
                    found.append(row)
                    most -= size(row)
                    if most <= 0:
                        return found, True
            finally:
                cursor.close()
        return found, False

    @contextmanager
    def transaction(self, until: float = float("inf")) -> Iterator[Connection]:
        """One write transaction (BEGIN IMMEDIATE), on the process's only writing connection.

        Raises StoreUnavailable if the database can't be written within `busy_timeout`, or by
        `until` (monotonic clock) if that is sooner. That includes waiting for others in this
        process.
        """
        until = self.wait_limits.until(self.busy_timeout, until)
        if not self._writing.acquire(timeout=max(0.0, until - time.monotonic())):
            raise StoreUnavailable("SQLite: others of this process wait for the database")
        with translated():
            try:
                if self._writer is None:
                    self._writer = self._open_writer()
                with self._committing(self._writer, until) as db:
                    yield db
            except sqlite3.Error as error:
                if _is_stale_after(error):
                    self._close_writer()
                self._raise_if_of_rows(error)
                raise
            finally:
                self._writing.release()

    @contextmanager
    def _committing(self, db: Connection, until: float) -> Iterator[Connection]:
        """One write transaction. Not `db.atomic()`: that is a deferred BEGIN, whose first write may
        fail at once."""
        when_free(lambda: db.execute("BEGIN IMMEDIATE"), until, self._nap)
        try:
            yield db
            db.commit()
        except BaseException:
            with suppress(sqlite3.Error):
                db.rollback()
            raise

    def close(self) -> None:
        """Closes this process's writer and this thread's reader."""
        with self._writing:
            self._close_writer()
        self._close_reader()

    def _close_writer(self) -> None:
        db, self._writer = self._writer, None
        if db is not None:
            db.close()

    def _close_reader(self) -> None:
        db: Connection | None = getattr(self._readers, "db", None)
        self._readers.db = None
        if db is not None:
            db.close()

    # --- the schema ---

    def migrate(self) -> None:
        """Creates the database if there is none, and migrates it to this program's schema.

        Raises NewerStore if it is for newer programs only, StoreUnavailable if it can't be written,
        StoreRefused if it is no database, another program's, or from before the first release.
        """
        with translated(), self._naming_the_file():
            try:
                private.make_folder(self.path.parent)
            except OSError as error:
                raise StoreUnavailable(
                    f"the folder of {self.path} can't be created: {error.strerror}"
                ) from error
            with suppress(OSError):  # SQLite's own error says more
                open(self.path, "ab", opener=private.opener).close()
            with self._open(create=True) as db:
                self._schema_of(db)  # before anything is written to it
                # Of several processes that start at once, SQLite lets one make this switch, and
                # refuses the others without waiting.
                when_free(db.enable_wal, self.wait_limits.until(self.busy_timeout), self._nap)
                if db.journal_mode != "wal":
                    raise StoreUnavailable(
                        f"{self.path}: this file system doesn't support SQLite's WAL; use a local"
                        " disk"
                    )
                if self._schema_of(db) < SCHEMA.newest:
                    self._take_steps(db)

    def _take_steps(self, db: Connection) -> None:
        """Of several processes that start at once, one takes the steps, and the others find them
        taken."""
        with self._committing(db, self.wait_limits.until(_MIGRATION)):
            number = self._schema_of(db)
            if number < SCHEMA.newest:
                migrations(number).apply(db)
                SCHEMA.record(db)

    def check_version(self) -> None:
        """Raises StoreMissing if there is no database, StoreUnavailable for an older one,
        NewerStore for one that is for newer programs only, StoreRefused for a file that is none,
        for another program's, and for one from before the first release."""
        if not self.path.exists():
            raise StoreMissing(
                f"no database at {self.path}; start the relay, or set BRIDGE_DATABASE to yours"
            )
        with translated(), self._naming_the_file(), self._open() as db:
            if self._schema_of(db) < SCHEMA.newest:
                raise StoreUnavailable(
                    f"the database at {self.path} is older than this program; start the relay to"
                    " migrate it"
                )

    @contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        """Says which file can't be opened, and why if that is known: SQLite says neither."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if error_code(error) == _SQLITE_NOTADB:
                remedy = "set BRIDGE_DATABASE to the bridge's, or move the file away"
                raise StoreRefused(f"{self.path} isn't an SQLite database; {remedy}") from error
            if error_code(error) != _SQLITE_CANTOPEN:
                raise
            if self.path.is_dir():
                raise StoreRefused(
                    f"{self.path} is a folder; set BRIDGE_DATABASE to a file's path"
                ) from error
            raise StoreUnavailable(
                f"{self.path} can't be opened; may this user read and write the file, and create"
                " others in its folder?"
            ) from error

    def _schema_of(self, db: Connection) -> int:
        """The number of its schema; 0 for a new file. Raises NewerStore, StoreRefused."""
        tables = {name for name in db.table_names() if not name.startswith("sqlite_")}
        number = SCHEMA.number_of(db, tables, str(self.path))
        if tables and not number:
            raise StoreRefused(
                f"the database at {self.path} is another program's: it has tables (such as"
                f" {min(tables)}), and none of the bridge's; set BRIDGE_DATABASE to the bridge's"
                " own file, or to a new one"
            )
        return number


def when_free(step: Callable[[], object], until: float, nap: Callable[[float], None]) -> None:
    """Takes a step that SQLite refuses while another process writes, again and again until that
    monotonic time.

    SQLite's own busy handler sleeps for up to 100 ms at a time, which shows in the relay's response
    times; these waits are short. The first ones block the process, later ones sleep: another
    relay's commit is over before gevent's hub would get back to a sleeper, which by then finds the
    database locked by the next commit.
    """
    naps = 0
    pause = _NAP
    while True:
        try:
            step()
            return
        except sqlite3.OperationalError as error:
            if error_code(error) != _SQLITE_BUSY or time.monotonic() > until:
                raise
        if naps < _NAPS:
            naps += 1
            nap(_NAP)
        else:
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_SLEEP)


def error_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    code = getattr(error, "sqlite_errorcode", None)  # since Python 3.11
    if code is None:
        code = next((code for words, code in _CODES.items() if words in str(error)), 1)
    return int(code) & 0xFF


_ABOUT_A_STATEMENT = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.NotSupportedError,
)


def _is_stale_after(error: sqlite3.Error) -> bool:
    """Whether a new connection may succeed: one that was opened on a read-only file system stays
    read-only."""
    return not isinstance(error, _ABOUT_A_STATEMENT) and error_code(error) != _SQLITE_BUSY


@contextmanager
def translated() -> Iterator[None]:
    """Turns SQLite's temporary errors (locked, full, read-only, gone) into StoreUnavailable, and
    those about a value into Unstorable."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.DataError) as error:
        raise Unstorable(f"SQLite: {error}") from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, _ABOUT_A_STATEMENT):
            raise
        raise StoreUnavailable(f"SQLite: {error}") from error
