"""Leadership: a row that names the holder, and a file lock that reveals its death at once."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from store.errors import LeadershipLost
from store.records import Term
from store.sql.database import Leadership
from store.sqlite.connections import Connection, Connections
from store.sqlite.signals import SqliteSignals


class ProcessLock:
    """An exclusive lock on a file, which the kernel frees however the process ends.

    A process that gets it knows that the former holder is dead, and needn't wait for its term to
    run out. Failing to get it proves nothing: the holder may hang.
    """

    def __init__(self, path: Path, mode: int = 0o600):
        """`mode`: of the file, if it is created."""
        self._path = path
        self._mode = mode
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Whether this process has the lock now."""
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, self._mode)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Releases the lock."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


class SqliteLeadership(Leadership):
    """Leadership on SQLite.

    The leader locks a file, and records that in its row (`guarded`). A worker that gets the lock
    while the row says so knows that the leader has ended. A leader without the lock, which replaced
    one that hangs, can only be replaced when its term runs out; it keeps trying for the lock.
    """

    def __init__(self, connections: Connections, signals: SqliteSignals):
        self._connections = connections
        self._signals = signals
        self._locks: dict[str, ProcessLock] = {}
        self._changing = threading.Lock()

    def elect(self, worker: str, seconds: float) -> Term | None:
        with self._changing:
            lock = self._lock(worker)
            term = None
            try:
                term = self._take_row(worker, seconds, lock.acquire())
            finally:
                if term is None:  # its present holder may want it
                    self._unlock(worker)
            return term

    def _take_row(self, worker: str, seconds: float, locked: bool) -> Term | None:
        now = self._connections.now()
        until = now + int(seconds * 1000)
        with self._connections.transaction() as db:
            row = db.execute(
                "SELECT holder, until, guarded FROM leads WHERE name = 'decider'"
            ).fetchone()
            before, before_until, guarded = row or (None, 0, False)
            if before not in (None, worker) and before_until >= now and not (guarded and locked):
                return None
            db.execute(
                "INSERT OR REPLACE INTO leads (name, holder, until, guarded) VALUES ('decider', ?,"
                " ?, ?)",
                (worker, until, locked),
            )
        if before is None:
            return Term(worker)
        return Term(worker, before, min(now, before_until))

    def renew(self, term: Term, seconds: float) -> bool:
        with self._changing:
            had_lock = term.holder in self._locks
            locked = self._lock(term.holder).acquire()
            kept = False
            try:
                with self._connections.transaction() as db:
                    rows = db.execute(
                        "UPDATE leads SET until = ?, guarded = ? WHERE name = 'decider' AND holder"
                        " = ? RETURNING 1",
                        (self._connections.now() + int(seconds * 1000), locked, term.holder),
                    ).fetchall()
                kept = bool(rows)
                had_lock = kept
            finally:
                # Where that can't be told, who had the lock stays its holder.
                if not kept and not had_lock:
                    self._unlock(term.holder)
            return kept

    def resign(self, term: Term) -> None:
        with self._changing:
            try:
                with self._connections.transaction() as db:
                    db.execute(
                        "DELETE FROM leads WHERE name = 'decider' AND holder = ?", (term.holder,)
                    )
            finally:
                self._unlock(term.holder)
        self._signals.notify("targets")

    def leader(self) -> tuple[str, int] | None:
        found = self._connections.read("SELECT holder, until FROM leads WHERE name = 'decider'")
        return (found[0][0], found[0][1]) if found else None

    @contextmanager
    def deciding(self, term: Term, *, large: bool = False) -> Iterator[Connection]:
        """A transaction in which only the leader may write. Raises LeadershipLost if another worker
        leads now."""
        with self._connections.transaction() as db:
            row = db.execute("SELECT holder FROM leads WHERE name = 'decider'").fetchone()
            if row is None or row[0] != term.holder:
                raise LeadershipLost
            yield db

    def _lock(self, holder: str) -> ProcessLock:
        path = Path(f"{self._connections.path}-decider")
        return self._locks.setdefault(holder, ProcessLock(path, self._connections.mode))

    def _unlock(self, holder: str) -> None:
        lock = self._locks.pop(holder, None)
        if lock is not None:
            lock.release()
