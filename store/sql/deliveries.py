"""Deliveries as they are accepted, and those that left no event.

Those that arrive together are committed together: a commit costs the same for one event as for
several.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from store.delivery_records import WithoutEvent
from store.errors import StoreUnavailable
from store.records import Committed, NewEvent
from store.rules.eviction import superseded
from store.sql.columns import Columns, number, text
from store.sql.database import Database, Part

Take = Callable[[], list[Sequence[NewEvent]]]
"""Closes the group, and returns the events of each delivery in it. Call it once this process may
write to the database: deliveries that arrive while another process writes are then included."""
Commit = Callable[[Take, float], list[list[Committed]]]
"""Writes what it takes, all or nothing, and returns an answer for each delivery; waits for the
database until that time (monotonic clock). Raises StoreUnavailable, or another exception if the
database refuses one of them."""


class _Group:
    """Deliveries to be committed together. The thread that opened the group commits it for all; the
    others wait for `done`."""

    def __init__(self) -> None:
        self.deliveries: list[Sequence[NewEvent]] = []
        self.outcomes: list[list[Committed] | StoreUnavailable] = []
        """One result per delivery, once `done`; empty if the thread that should have committed was
        stopped."""
        self.done = threading.Event()


class Scheduler(Protocol):
    """How one of a process's deliveries yields to the others, if they are greenlets of one thread."""

    def let_others_run(self) -> None:
        """Lets the greenlets that are ready add their deliveries before the database is locked."""

    def block(self, seconds: float) -> None:
        """Blocks all of them for a moment: for waits that are shorter than a switch."""


class GroupCommit:
    """Groups the deliveries of one process. Thread-safe, and safe for greenlets of one thread."""

    def __init__(self, commit: Commit, scheduler: Scheduler | None = None):
        """Without a `scheduler`, each delivery has its own thread."""
        self._commit = commit
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._open: _Group | None = None

    def append(self, events: Sequence[NewEvent], until: float = float("inf")) -> list[Committed]:
        """Commits the events together with others', and returns once they are on disk. Raises
        StoreUnavailable.

        A group waits for the database as long as its first delivery may. The others came later, so
        they get their answers sooner than they must.
        """
        with self._lock:
            group, first = self._open, self._open is None
            if group is None:
                group = self._open = _Group()
            number = len(group.deliveries)
            group.deliveries.append(events)
        if first:
            self._commit_for_all(group, until)
        else:
            group.done.wait()
        outcome = (
            group.outcomes[number]
            if group.outcomes
            else StoreUnavailable("the commit was interrupted")
        )
        if isinstance(outcome, StoreUnavailable):
            raise outcome
        return outcome

    def _commit_for_all(self, group: _Group, until: float) -> None:
        try:
            if self._scheduler is not None:
                self._scheduler.let_others_run()
            group.outcomes = [*self._commit(lambda: self._close(group), until)]
        except StoreUnavailable as error:
            group.outcomes = [error] * len(self._close(group))
        except Exception as error:
            # A delivery that the database refuses must not fail the others in its group.
            deliveries = self._close(group)
            group.outcomes = (
                [_refused(error)]
                if len(deliveries) == 1
                else [self._commit_alone(events, until) for events in deliveries]
            )
        finally:
            self._close(group)
            group.done.set()

    def _commit_alone(
        self, events: Sequence[NewEvent], until: float
    ) -> list[Committed] | StoreUnavailable:
        try:
            return self._commit(lambda: [events], until)[0]
        except StoreUnavailable as error:
            return error
        except Exception as error:
            return _refused(error)

    def _close(self, group: _Group) -> list[Sequence[NewEvent]]:
        """Closes the group; returns its deliveries."""
        with self._lock:
            if self._open is group:
                self._open = None
        return group.deliveries


def _refused(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"{type(error).__name__}: {error}")


KEPT = 100
"""Deliveries without an event that are kept of a webhook and kind."""
CHALLENGES_KEPT = 10
"""Of a webhook. Anyone may send challenges, and they mustn't fill the list of deliveries."""
_HOUR = 3_600_000
_WITHOUT_EVENT = "webhook, kind, at, status, reason, remote, method, kept_id, event_id"
# Some of what was kept with its bytes is pruned before this is.
_KEPT_ID = "(SELECT r.id FROM bridge.raw_deliveries r WHERE r.id = w.kept_id) AS kept_id"
_READ = Columns(
    webhook=text,
    kind=text,
    at=number,
    status=number,
    reason=text,
    remote=text,
    method=text,
    kept_id=text,
    event_id=text,
    id=number,
)
_FOUND = f"SELECT {_READ.with_instead({'kept_id': _KEPT_ID})} FROM bridge.without_events w"
_OF_KIND = (
    "SELECT id, remote FROM bridge.without_events WHERE webhook = %s AND kind = %s ORDER BY id"
)
_DELETE = "DELETE FROM bridge.without_events WHERE id = ANY(%s)"
_ADD = """
ON CONFLICT (webhook, hour, outcome) DO UPDATE SET number = delivery_counts.number + excluded.number
"""


class WithoutEvents(Part):
    """Deliveries that left no event: the newest of each webhook and kind."""

    def record(self, new: Sequence[WithoutEvent], counts: Mapping[tuple[str, str], int]) -> None:
        """Keeps each webhook's newest of each kind; adds `counts`, (webhook, outcome) → number, to
        those of the current hour."""
        hour = self._database.now() // _HOUR * _HOUR
        with self._database.transaction() as transaction:
            values = attrgetter(*_WITHOUT_EVENT.split(", "))
            transaction.insert(f"bridge.without_events ({_WITHOUT_EVENT})", list(map(values, new)))
            # Always in the same order, so that relays waiting for each other's rows can't deadlock.
            for of_kind in sorted({(one.webhook, one.kind) for one in new}):
                most = CHALLENGES_KEPT if of_kind[1] == "challenge" else KEPT
                gone = superseded(transaction.fetch(_OF_KIND, of_kind), most)
                if gone:
                    transaction.write(_DELETE, (gone,))
            counted = [
                (webhook, hour, outcome, number)
                for (webhook, outcome), number in sorted(counts.items())
            ]
            transaction.insert(
                "bridge.delivery_counts (webhook, hour, outcome, number)", counted, _ADD
            )

    def newest(self, webhook: str | None = None, limit: int = 100) -> list[WithoutEvent]:
        """The newest of all kinds, `limit` at most; in order of arrival."""
        return sorted(self._newest({"webhook": webhook}, limit), key=lambda one: one.at)

    def rejections(
        self, webhook: str | None = None, limit: int = 50, filtered: bool = False
    ) -> list[WithoutEvent]:
        """The newest rejected or, with `filtered`, the newest filtered deliveries; newest first."""
        return self._newest(
            {"webhook": webhook, "kind": "filtered" if filtered else "rejected"}, limit
        )[::-1]

    def _newest(self, which: Mapping[str, str | None], limit: int) -> list[WithoutEvent]:
        asked = {name: value for name, value in which.items() if value is not None}
        where = " AND ".join(["true", *(f"{name} = %({name})s" for name in asked)])
        sql = f"{_FOUND} WHERE {where} ORDER BY id DESC LIMIT %(limit)s"
        found = self._database.read(sql, {**asked, "limit": limit})
        return list(map(_without_event, reversed(found)))


def _without_event(row: Sequence[Any]) -> WithoutEvent:
    values = _READ.for_people(row)
    key = str(values.pop("id"))
    return WithoutEvent(**values, key=key)


CAME_TO = "CASE WHEN resolved_by IS NULL AND status IN ('expired', 'failed') THEN status END"
"""An event's `Committed.came_to`, as SQL."""
_KNOWN = f"""
SELECT delivery_id, received_at, id, {CAME_TO} FROM bridge.events WHERE webhook = %s AND delivery_id = ANY(%s)
"""
_PROVE = """
INSERT INTO bridge.facts (name, value, at) VALUES ('writable', '1', %s)
ON CONFLICT (name) DO UPDATE SET at = excluded.at
"""


class Known(NamedTuple):
    """The event of a known delivery id."""

    received_at: int
    committed: Committed
    """As which a delivery with that id is answered."""


class Deliveries(ABC):
    """Stores events.

    `until` (`time.monotonic`) bounds the wait for the database, for callers that must answer in
    time.
    """

    def __init__(self, database: Database, scheduler: Scheduler | None):
        """`scheduler`: how greenlets yield to each other; without one, each delivery has its own
        thread."""
        self._database = database
        self._scheduler = scheduler
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._group_commit = GroupCommit(self._commit, self._scheduler)

    def append(self, events: Sequence[NewEvent], until: float = float("inf")) -> list[Committed]:
        """Commits a delivery's events durably, all or none, skipping those whose delivery id is
        known.

        Returns one `Committed` per event, in the order given. Concurrent deliveries share a commit.
        In the same transaction it keeps the `raw` of events that weren't known.
        """
        return self._group_commit.append(events, until)

    @abstractmethod
    def _commit(self, take: Take, until: float) -> list[list[Committed]]:
        """See `store.sql.deliveries.Commit`."""

    def known(
        self, webhook: str, delivery_ids: Sequence[str], until: float = float("inf")
    ) -> dict[str, Known]:
        """delivery id → its event, of those that are known; one that has a NUL never is."""
        found = self._database.read(_KNOWN, (webhook, list(delivery_ids)), until=until)
        return {
            delivery_id: Known(at, Committed(id_, True, came_to))
            for delivery_id, at, id_, came_to in found
        }

    def check_writable(self, until: float = float("inf")) -> None:
        """Raises StoreUnavailable unless a write would succeed now."""
        with self._database.transaction(until=until) as transaction:
            transaction.write(_PROVE, (self._database.now(),))
