"""The relay's part of the store: events in, durably and in groups."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from sqlite_utils import Database

from events.records import Committed, NewEvent, Rejection
from events.sqlite.connections import Connections
from events.sqlite.signals import WakeUp
from events.store import StoreUnavailable

REJECTIONS_KEPT = 100
"""Rejections kept per webhook."""
_HOUR = 3_600_000
_ROWS_A_STATEMENT = 200
_COLUMNS = "id, webhook, received_at, delivery_id, payload, headers, query, hold_until, replay_of"
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"


class _Delivery:
    """The events of one delivery on their way through a group commit: an `events.store.Appending`."""

    __slots__ = ("_commit", "error", "events", "result")

    def __init__(self, events: Sequence[NewEvent], commit: Callable[[_Delivery], None]):
        self.events = events
        self._commit = commit
        self.result: list[Committed] | None = None
        self.error: StoreUnavailable | None = None

    @property
    def finished(self) -> bool:
        """Whether it is committed or has failed."""
        return self.result is not None or self.error is not None

    def committed(self) -> list[Committed]:
        if not self.finished:
            self._commit(self)
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


class Deliveries:
    """Implements `events.store.Deliveries`."""

    _connections: Connections
    _wake: WakeUp

    def __init__(self) -> None:
        self._reset_group()
        os.register_at_fork(after_in_child=self._reset_group)

    def _reset_group(self) -> None:
        self._waiting: deque[_Delivery] = deque()
        self._committing = threading.Lock()

    # A commit costs the same for one event and for several, so deliveries that come together are committed together.
    # No thread of its own does it, which would cost every delivery two changes of thread: the first to ask for its
    # commit commits for all.

    def submit(self, events: Sequence[NewEvent]) -> _Delivery:
        delivery = _Delivery(events, self._commit_with_others)
        self._waiting.append(delivery)
        return delivery

    def append(self, events: Sequence[NewEvent]) -> list[Committed]:
        return self.submit(events).committed()

    def _commit_with_others(self, delivery: _Delivery) -> None:
        with self._committing:
            while not delivery.finished and self._waiting:
                self._commit_gathered()

    def _commit_gathered(self) -> None:
        group: list[_Delivery] = []
        try:
            self._commit(group)
        except StoreUnavailable as error:
            for delivery in group or self._take(group):
                delivery.error = error
        except Exception as error:
            for delivery in group or self._take(group):
                self._commit_alone(delivery, error if len(group) == 1 else None)
        finally:
            for delivery in group:
                if not delivery.finished:
                    delivery.error = StoreUnavailable("the commit was interrupted")

    def _take(self, group: list[_Delivery]) -> list[_Delivery]:
        """Moves what waits into the group, as far as it fits into one statement."""
        group.append(self._waiting.popleft())
        rows = len(group[0].events)
        while self._waiting and rows + len(self._waiting[0].events) <= _ROWS_A_STATEMENT:
            group.append(self._waiting.popleft())
            rows += len(group[-1].events)
        return group

    def _commit_alone(self, delivery: _Delivery, error: Exception | None) -> None:
        """One delivery that the database refuses must not take the others of its group with it."""
        try:
            if error is not None:
                raise error
            self._commit([delivery])
        except StoreUnavailable as unavailable:
            delivery.error = unavailable
        except Exception as refusal:
            delivery.error = StoreUnavailable(f"{type(refusal).__name__}: {refusal}")

    def _commit(self, group: list[_Delivery]) -> None:
        """Commits the group; an empty one is first filled with what waits."""
        with self._connections.transaction() as db:
            if not group:
                # Only now: what came while another process was writing goes along.
                self._take(group)
            rows = [event for delivery in group for event in delivery.events]
            stored = set[str]()
            for start in range(0, len(rows), _ROWS_A_STATEMENT):
                stored |= _insert(db, rows[start : start + _ROWS_A_STATEMENT])
            first = {} if len(stored) == len(rows) else _first_ids(db, rows, stored)
        if stored:
            self._wake.send()
        for delivery in group:
            delivery.result = [
                Committed(event.id, False) if event.id in stored else Committed(first[event.id], True)
                for event in delivery.events
            ]

    # --- verified or not ---

    def verified_at(self, webhook: str, fingerprint: str) -> int | None:
        sql = "SELECT verified_at FROM verifications WHERE webhook = ? AND fingerprint = ?"
        found = self._connections.read(sql, (webhook, fingerprint))
        return found[0][0] if found else None

    def set_verified(self, webhook: str, fingerprint: str, at: int) -> None:
        with self._connections.transaction() as db:
            db.execute(
                "INSERT INTO verifications (webhook, fingerprint, verified_at) VALUES (?, ?, ?)"
                " ON CONFLICT (webhook) DO UPDATE SET fingerprint = excluded.fingerprint,"
                " verified_at = excluded.verified_at WHERE fingerprint != excluded.fingerprint",
                (webhook, fingerprint, at),
            )

    def fingerprint_salt(self) -> bytes:
        name = "fingerprint_salt"
        found = self._connections.read("SELECT value FROM facts WHERE name = ?", (name,))
        if not found:
            with self._connections.transaction() as db:
                db.execute(
                    "INSERT OR IGNORE INTO facts (name, value, at) VALUES (?, ?, ?)",
                    (name, secrets.token_hex(16), int(time.time() * 1000)),
                )
                found = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchall()
        return bytes.fromhex(found[0][0])

    # --- rejections and counts ---

    def record_rejections(self, rejections: Sequence[Rejection], counts: Mapping[tuple[str, str], int]) -> None:
        hour = int(time.time() * 1000) // _HOUR * _HOUR
        with self._connections.transaction() as db:
            db.conn.executemany(
                "INSERT INTO rejections (webhook, at, status, reason, remote, method) VALUES (?, ?, ?, ?, ?, ?)",
                [(r.webhook, r.at, r.status, r.reason, r.remote, r.method) for r in rejections],
            )
            for webhook in {rejection.webhook for rejection in rejections}:
                db.execute(
                    "DELETE FROM rejections WHERE webhook = ? AND id <= (SELECT id FROM rejections WHERE webhook = ?"
                    " ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    (webhook, webhook, REJECTIONS_KEPT),
                )
            db.conn.executemany(
                "INSERT INTO delivery_counts (webhook, hour, outcome, number) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (webhook, hour, outcome) DO UPDATE SET number = number + excluded.number",
                [(webhook, hour, outcome, number) for (webhook, outcome), number in counts.items()],
            )

    def check_writable(self) -> None:
        with self._connections.transaction() as db:
            db.execute(
                "INSERT INTO facts (name, value, at) VALUES ('writable', '1', ?)"
                " ON CONFLICT (name) DO UPDATE SET at = excluded.at",
                (int(time.time() * 1000),),
            )


def _insert(db: Database, rows: Sequence[NewEvent]) -> set[str]:
    """Inserts the events whose delivery ids are new; their ids."""
    parameters: list[object] = []
    for event in rows:
        parameters += (
            event.id,
            event.webhook,
            event.received_at,
            event.delivery_id,
            event.payload,
            json.dumps(event.headers),
            json.dumps(event.query),
            event.hold_until,
            event.replay_of,
        )
    sql = (
        f"INSERT INTO events ({_COLUMNS}) VALUES {', '.join([_ROW] * len(rows))}"
        " ON CONFLICT (webhook, delivery_id) WHERE delivery_id IS NOT NULL DO NOTHING RETURNING id"
    )
    return {row[0] for row in db.conn.execute(sql, parameters).fetchall()}


def _first_ids(db: Database, rows: Sequence[NewEvent], stored: set[str]) -> dict[str, str]:
    """For each duplicate the id of the event that came first with its delivery id."""
    return {
        event.id: db.conn.execute(
            "SELECT id FROM events WHERE webhook = ? AND delivery_id = ?", (event.webhook, event.delivery_id)
        ).fetchone()[0]
        for event in rows
        if event.id not in stored
    }
