"""Deliveries as they are accepted, and those that left no event.

Those that arrive together are committed together: a commit costs the same for one event as for several.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from store.delivery_records import Duplicate, Rejection, WithoutEvent
from store.errors import StoreUnavailable
from store.records import Committed, NewEvent
from store.rules.eviction import superseded
from store.sql import rows
from store.sql.database import Database, Part

Take = Callable[[], list[Sequence[NewEvent]]]
"""Closes the group, and returns the events of each delivery in it. Call it once this process may write to the database:
deliveries that arrive while another process writes are then included."""
Commit = Callable[[Take, float], list[list[Committed]]]
"""Writes what it takes, all or nothing, and returns an answer for each delivery; waits for the database until that time
(monotonic clock). Raises StoreUnavailable, or another exception if the database refuses one of them."""


class _Group:
    """Deliveries to be committed together. The thread that opened the group commits it for all; the others wait for
    `done`."""

    def __init__(self) -> None:
        self.deliveries: list[Sequence[NewEvent]] = []
        self.outcomes: list[list[Committed] | StoreUnavailable] = []
        """One result per delivery, once `done`; empty if the thread that should have committed was stopped."""
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
        """Commits the events together with others', and returns once they are on disk. Raises StoreUnavailable.

        A group waits for the database as long as its first delivery may. The others came later, so they get their
        answers sooner than they must.
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
        outcome = group.outcomes[number] if group.outcomes else StoreUnavailable("the commit was interrupted")
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

    def _commit_alone(self, events: Sequence[NewEvent], until: float) -> list[Committed] | StoreUnavailable:
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


DUPLICATES_KEPT = 100
"""Duplicates that are kept per webhook."""
KEPT = "(SELECT k.id FROM bridge.raw_deliveries k WHERE k.id = r.kept_id)"
"""Of a rejection: some of what was kept is pruned before it is."""
_DUPLICATE = "webhook, at, event_id, remote, method"
_PRUNE = """
DELETE FROM bridge.duplicates WHERE webhook = %(webhook)s AND id <= (
    SELECT id FROM bridge.duplicates WHERE webhook = %(webhook)s ORDER BY id DESC LIMIT 1 OFFSET %(kept)s
)
"""


class WithoutEvents(Part):
    """Deliveries that left no event: the newest of each webhook and kind.

    `Deliveries.record_rejections` writes the rejected and filtered ones.
    """

    def record_duplicates(self, duplicates: Sequence[Duplicate]) -> None:
        """Keeps each webhook's newest duplicates."""
        if not duplicates:
            return
        with self._database.transaction() as transaction:
            new_rows = [(one.webhook, one.at, one.event_id, one.remote, one.method) for one in duplicates]
            transaction.insert(f"bridge.duplicates ({_DUPLICATE})", new_rows)
            # Always in the same order, so that relays waiting for each other's rows can't deadlock.
            for webhook in sorted({one.webhook for one in duplicates}):
                transaction.write(_PRUNE, {"webhook": webhook, "kept": DUPLICATES_KEPT})

    def newest(self, webhook: str | None = None, limit: int = 100) -> list[WithoutEvent]:
        """Rejected and filtered deliveries and duplicates: the newest of each table, `limit` at most; in order of
        arrival."""
        only = "WHERE webhook = %s" if webhook is not None else ""
        values = (*([webhook] if only else []), limit)
        rejections, duplicates = self._database.read_together(
            (
                f"SELECT id, webhook, at, status, reason, remote, method, {KEPT} AS kept_id FROM bridge.rejections r"
                f" {only} ORDER BY id DESC LIMIT %s",
                values,
            ),
            (
                "SELECT id, webhook, at, event_id, remote, method FROM bridge.duplicates"
                f" {only} ORDER BY id DESC LIMIT %s",
                values,
            ),
        )
        found = [
            WithoutEvent(
                f"r{id_}", "filtered" if status < 400 else "rejected", of, at, reason, None, remote, method, kept
            )
            for id_, of, at, status, reason, remote, method, kept in (
                rows.readable(row, (0, 2, 3)) for row in rejections[::-1]
            )
        ]
        found += [
            WithoutEvent(f"d{id_}", "duplicate", of, at, "", event_id, remote, method)
            for id_, of, at, event_id, remote, method in (rows.readable(row, (0, 2)) for row in duplicates[::-1])
        ]
        return sorted(found, key=lambda one: one.at)


REJECTIONS_KEPT = 100
"""Rejections that are kept per webhook."""
_HOUR = 3_600_000
_KEPT = "SELECT id, remote FROM bridge.rejections WHERE webhook = %s AND (status < 400) = %s ORDER BY id"
_DELETE = "DELETE FROM bridge.rejections WHERE id = ANY(%s)"
_ADD = """
ON CONFLICT (webhook, hour, outcome) DO UPDATE SET number = delivery_counts.number + excluded.number
"""
_RECEIVED_AT = "SELECT delivery_id, received_at FROM bridge.events WHERE webhook = %s AND delivery_id = ANY(%s)"
CAME_TO = "CASE WHEN resolved_by IS NULL AND status IN ('expired', 'failed') THEN status END"
"""An event's `Committed.came_to`, as SQL."""
_PROVE = """
INSERT INTO bridge.facts (name, value, at) VALUES ('writable', '1', %s)
ON CONFLICT (name) DO UPDATE SET at = excluded.at
"""


class Deliveries(ABC):
    """Stores events, and the outcomes of requests that created none.

    `until` (`time.monotonic`) bounds the wait for the database, for callers that must answer in time.
    """

    def __init__(self, database: Database, impatient: Database, scheduler: Scheduler | None):
        """`impatient`: the database, for what a delivery waits for. `scheduler`: see `store.sql.deliveries`."""
        self._database = database
        self._impatient = impatient
        self._scheduler = scheduler
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._group_commit = GroupCommit(self._commit, self._scheduler)

    def append(self, events: Sequence[NewEvent], until: float = float("inf")) -> list[Committed]:
        """Commits a delivery's events durably, all or none, skipping those whose delivery id is known.

        Returns one `Committed` per event, in the order given. Concurrent deliveries share a commit. In the same
        transaction it keeps the `raw` of events that weren't known.
        """
        return self._group_commit.append(events, until)

    @abstractmethod
    def _commit(self, take: Take, until: float) -> list[list[Committed]]:
        """See `store.sql.deliveries.Commit`."""

    def received_at(self, webhook: str, delivery_ids: Sequence[str], until: float = float("inf")) -> dict[str, int]:
        """delivery id → when its event arrived, of those that are known; none may have a NUL."""
        return dict(self._impatient.read(_RECEIVED_AT, (webhook, list(delivery_ids)), until=until))

    def record_rejections(self, rejections: Sequence[Rejection], counts: Mapping[tuple[str, str], int]) -> None:
        """Keeps each webhook's newest rejections and, separately, its newest filtered deliveries; adds `counts`,
        (webhook, outcome) → number, to those of the current hour."""
        hour = self._database.now() // _HOUR * _HOUR
        with self._database.transaction() as transaction:
            new_rows = [(r.webhook, r.at, r.status, r.reason, r.remote, r.method, r.kept_id) for r in rejections]
            transaction.insert(f"bridge.rejections ({rows.REJECTION})", new_rows)
            # Always in the same order, so that relays waiting for each other's rows can't deadlock.
            for webhook, filtered in sorted({(rejection.webhook, rejection.filtered) for rejection in rejections}):
                found = [(id_, remote) for id_, remote in transaction.fetch(_KEPT, (webhook, filtered))]
                if gone := superseded(found, REJECTIONS_KEPT):
                    transaction.write(_DELETE, (gone,))
            counted = [(webhook, hour, outcome, number) for (webhook, outcome), number in sorted(counts.items())]
            transaction.insert("bridge.delivery_counts (webhook, hour, outcome, number)", counted, _ADD)

    def check_writable(self, until: float = float("inf")) -> None:
        """Raises StoreUnavailable unless a write would succeed now."""
        with self._impatient.transaction(until=until) as transaction:
            transaction.write(_PROVE, (self._database.now(),))
