"""A database with the bridge's tables, as the shared parts of the store see it; and time, wake-ups
and leadership, which each database does in its own way.

Shared statements are written as PostgreSQL takes them: ``bridge.`` before the name of a table,
``%s`` or ``%(name)s`` for a parameter, ``= ANY(%s)`` or ``unnest(%s::text[])`` for a list, ``FOR
UPDATE`` to lock rows. `store.sqlite.connections` translates them for SQLite.
"""

from __future__ import annotations

import select
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from config.process import WakeUp
from store.records import Term

if TYPE_CHECKING:
    from _typeshed import HasFileno

_AT_LAST = 1.5
"""Seconds for one step of a process that is stopping."""


class WaitLimits:
    """How long the steps of one process may wait, in all of its threads. Times are by
    `time.monotonic`."""

    def __init__(self) -> None:
        self._longest = self._end = float("inf")

    def end_in(self, seconds: float) -> None:
        """The process is stopping: from now on no step waits long, and none beyond this many
        seconds from now.

        Safe in signal handlers.
        """
        self._longest = _AT_LAST
        self._end = min(self._end, time.monotonic() + seconds)

    def until(self, seconds: float, latest: float = float("inf")) -> float:
        """Until when a step with this many `seconds` may wait, and no later than `latest`."""
        return min(time.monotonic() + min(seconds, self._longest), self._end, latest)

    def is_over(self, until: float) -> bool:
        """Whether that time has come, or the process has run out of time."""
        return time.monotonic() >= min(until, self._end)


Rows = list[tuple[Any, ...]]
Parameters = Sequence[Any] | Mapping[str, Any]
Statement = tuple[str, Parameters]


class Transaction(Protocol):
    """A transaction that executes statements."""

    def fetch(self, statement: str, parameters: Parameters = (), /) -> Rows:
        """Executes a statement; returns its rows."""

    def write(self, statement: str, parameters: Parameters = (), /) -> int:
        """Executes a statement without result rows; returns the number of rows written."""

    def fetch_together(self, statements: Sequence[Statement], /) -> list[Rows]:
        """Executes statements, in one round trip if the database is remote. Returns the rows of
        each."""

    def insert(self, into: str, rows: Sequence[Sequence[Any]], rest: str = "", /) -> Rows:
        """Inserts rows `into` ``bridge.TABLE (COLUMNS)``. Returns the rows of RETURNING, if the
        `rest` has it.

        The `rest` of the statement follows the values.
        """


class Clock(Protocol):
    """The time that all processes on one store agree on."""

    def now(self) -> int:
        """The store's time, in Unix milliseconds. Needs no round trip, and never raises."""


class Database(Clock, Protocol):
    """Opens connections as they are needed.

    Its methods raise StoreUnavailable, by `until` (monotonic clock) at the latest.
    """

    def read(
        self, statement: str, parameters: Parameters = (), /, *, until: float = float("inf")
    ) -> Rows:
        """The rows of one read-only statement."""

    def read_together(self, *statements: Statement) -> list[Rows]:
        """The rows of each of several read-only statements, in one round trip if the database is
        remote."""

    def transaction(self, *, until: float = float("inf")) -> AbstractContextManager[Transaction]:
        """One transaction, committed at the end of the ``with`` block and rolled back on an
        exception."""


class Part:
    """A part of the store that needs nothing but the database."""

    def __init__(self, database: Database):
        self._database = database


class Connections(Database, Protocol):
    """The database, as whoever opened the store closes it."""

    wait_limits: WaitLimits

    def close(self) -> None:
        """Closes this process's connections; the next use opens them again."""


class Deciding(Protocol):
    """Opens transactions for the leader."""

    def deciding(self, term: Term, *, large: bool = False) -> AbstractContextManager[Transaction]:
        """A transaction in which only the leader may write; a `large` one may take long.

        Raises LeadershipLost if another worker leads now.
        """


Topic = Literal["events", "targets", "answers"]
"""What a listener waits for. `events`: there may be something to decide. `targets`: there may be
something to claim. `answers`: there may be an answer for a sender that waits."""


class Listener(ABC):
    """Waits for changes in the store, for one thread. None of its methods raises StoreUnavailable."""

    def __init__(self) -> None:
        self._woken = WakeUp()
        self._heard: HasFileno | None = None
        """What is readable once there are changes, if changes can be heard."""
        self._look_every = float("inf")
        """Seconds between two looks for changes that can't be heard."""

    def wait(self, seconds: float) -> bool:
        """Returns when there may be changes since the last wait, when it is woken, or after that
        time; False if only the time is over.

        It may return for no reason, and changes may be missed while the store can't be reached: so
        poll at intervals too.
        """
        end = time.monotonic() + seconds
        while not self._has_changed():
            left = end - time.monotonic()
            if self._select(max(0.0, min(self._look_every, left))):
                return True
            if left <= self._look_every:
                return False
        return True

    def wake(self) -> None:
        """Ends the current wait, or else the next one. May be called from any thread, and from
        signal handlers."""
        self._woken.ring()

    def close(self) -> None:
        """Stops listening."""
        self._woken.close()

    @abstractmethod
    def _has_changed(self) -> bool:
        """Whether there may be changes since the last look, of those that can't be heard."""

    @abstractmethod
    def _hear(self) -> None:
        """Reads what can be heard."""

    def _select(self, seconds: float) -> bool:
        """Waits until it is woken or hears of changes; False if the time is over."""
        poll = select.poll()
        heard = self._heard
        for source in filter(None, (self._woken, heard)):
            poll.register(source, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(seconds * 1000)]
        if self._woken.fileno() in ready:
            self._woken.clear()
        if heard is not None and heard.fileno() in ready:
            self._hear()
        return bool(ready)


class Signals(Protocol):
    """How one process learns about another's commits at once."""

    def notify(self, topic: Topic) -> None:
        """Wakes the listeners of all processes. A lost wake-up costs only time: every process polls
        at intervals too."""

    def listener(self, topic: Topic) -> Listener:
        """Listens from now on. The leader waits for `events`, the other workers for `targets`, and
        relays for `answers`."""


class Leadership(Protocol):
    """One worker at a time is leader, and decides. It loses leadership if it doesn't renew its
    term."""

    def elect(self, worker: str, seconds: float) -> Term | None:
        """Makes this worker leader for this many seconds, if the last term has run out or its
        holder is known to be dead.

        None while another worker is leader. If the caller is already leader, this renews its term,
        in which it is its own predecessor.
        """

    def renew(self, term: Term, seconds: float) -> bool:
        """Extends the term to this many seconds from now; False if leadership was lost. Never
        begins a new term."""

    def resign(self, term: Term) -> None:
        """Ends the term: another worker can be elected at once.

        If it raises, leadership may be given up or not; others may consider the worker dead.
        """

    def leader(self) -> tuple[str, int] | None:
        """The leader's id, and when its term ends; None if there is no leader."""
