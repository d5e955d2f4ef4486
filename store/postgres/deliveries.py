"""The relay's part of the store: events in, durably and in groups."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence

from store import rows, storable
from store.errors import StoreUnavailable
from store.group_commit import GroupCommit, Scheduler, Take
from store.postgres.connections import IMPATIENT, LOCK_TIMEOUT, Connection, Connections, translated
from store.postgres.signals import PostgresSignals
from store.protocols import Deliveries
from store.records import Committed, NewEvent, Rejection

REJECTIONS_KEPT = 100
"""Rejections that are kept per webhook."""
_HOUR = 3_600_000
_MARGIN = 0.1
"""Seconds by which the server gives up before the client does."""
_ROWS_A_STATEMENT = 200
_PAUSE = 0.1
"""Seconds between tries to commit."""
_ROW = "(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
# Any conflict: if the id conflicts, an earlier try stored the events.
_INSERT = f"INSERT INTO bridge.events ({rows.NEW_EVENT}) VALUES {{}} ON CONFLICT DO NOTHING RETURNING id"
_STORED = "SELECT id FROM bridge.events WHERE id = ANY(%s)"
_FIRST = (
    "SELECT e.webhook, e.delivery_id, e.id FROM unnest(%s::text[], %s::text[]) AS k (webhook, delivery_id)"
    " JOIN bridge.events e USING (webhook, delivery_id) WHERE e.delivery_id IS NOT NULL"
)


class PostgresDeliveries(Deliveries):
    """Deliveries on PostgreSQL."""

    def __init__(self, connections: Connections, signals: PostgresSignals, scheduler: Scheduler | None = None):
        """`scheduler`: see `store.group_commit`."""
        self._connections = connections
        self._signals = signals
        self._scheduler = scheduler
        self._reset_group()
        os.register_at_fork(after_in_child=self._reset_group)

    def _reset_group(self) -> None:
        self._group_commit = GroupCommit(self._commit, self._scheduler)
        self._turn = threading.Lock()
        self._was_unavailable = False

    def append(self, events: Sequence[NewEvent], until: float = float("inf")) -> list[Committed]:
        return self._group_commit.append(events, until)

    # --- the commit ---

    def _commit(self, take: Take, until: float) -> list[list[Committed]]:
        until = self._connections.patience.until(IMPATIENT, until)
        # One commit at a time: deliveries that arrive meanwhile share the next one, and the order of arrival is kept.
        if not self._turn.acquire(timeout=max(0.0, until - time.monotonic())):
            raise StoreUnavailable("PostgreSQL: the commit before this one had no answer in time")
        try:
            deliveries = take()
            outcomes = iter(self._commit_all([event for events in deliveries for event in events], until))
        finally:
            self._turn.release()
        return [[next(outcomes) for _ in events] for events in deliveries]

    def _commit_all(self, events: Sequence[NewEvent], until: float) -> list[Committed]:
        is_first = True
        while True:
            try:
                outcomes = self._try(events, until, is_first)
            except StoreUnavailable:
                # The server is restarting, or another is taking its place: either may be over within a delivery's time.
                # If a commit's answer was lost, the next try shows whether it succeeded. While the database is known to
                # be away, deliveries are refused at once.
                if self._was_unavailable or time.monotonic() + _PAUSE >= until:
                    self._was_unavailable = True
                    raise
                is_first = False
                time.sleep(_PAUSE)
            else:
                self._was_unavailable = False
                return outcomes

    def _try(self, events: Sequence[NewEvent], until: float, is_first: bool) -> list[Committed]:
        with translated(), self._connections.lent(until, 0.0 if self._was_unavailable else IMPATIENT) as connection:
            stored = set[str]()
            parts = [events[at : at + _ROWS_A_STATEMENT] for at in range(0, len(events), _ROWS_A_STATEMENT)]
            left = until - time.monotonic() - _MARGIN
            if len(parts) == 1 and not connection.is_pooled and left > LOCK_TIMEOUT:
                stored |= self._insert(connection, parts[0])  # a separate transaction, in one round trip
            else:
                # A delivery that was answered 503 must not be stored later after all, once a lock is free.
                wait = max(1, int(min(left, LOCK_TIMEOUT) * 1000))
                connection.execute(f"{connection.begin}; SET LOCAL lock_timeout = {wait}")
                for part in parts:
                    stored |= self._insert(connection, part)
                connection.execute("COMMIT")
            if len(stored) == len(events):
                outcomes = [Committed(event.id, False) for event in events]
            else:
                outcomes = self._look_up(connection, events, stored, is_first)
            if not all(outcome.duplicate for outcome in outcomes):
                self._signals.tell_on(connection, "events")
            return outcomes

    def _insert(self, connection: Connection, part: Sequence[NewEvent]) -> set[str]:
        parameters: list[object] = []
        for event in part:
            parameters += rows.new_event_row(event)
        statement = _INSERT.format(", ".join([_ROW] * len(part)))
        return {row[0] for row in connection.fetch(statement, parameters)}

    def _look_up(
        self, connection: Connection, events: Sequence[NewEvent], stored: set[str], is_first: bool
    ) -> list[Committed]:
        """The outcome for events that weren't inserted: an earlier try of ours stored them, or they are duplicates."""
        if not is_first:
            ids = [event.id for event in events if event.id not in stored]
            stored |= {row[0] for row in connection.fetch(_STORED, (ids,))}
        others = [event for event in events if event.id not in stored]
        keys = {event.id: (event.webhook, storable.text_without_nul(event.delivery_id or "")) for event in others}
        found = connection.fetch(_FIRST, tuple(map(list, zip(*keys.values(), strict=True)))) if keys else []
        first = {(webhook, delivery_id): event_id for webhook, delivery_id, event_id in found}
        if not first.keys() >= set(keys.values()):  # retention has just deleted it
            raise StoreUnavailable("the event that came first is gone")
        # The event found may have been committed just as a server went down, and its standby may not have it yet. The
        # log is ordered: once the standby has this write, it has that event too.
        connection.execute("SELECT pg_logical_emit_message(true, 'webhook-bridge', '')")
        return [
            Committed(event.id, False) if event.id in stored else Committed(first[keys[event.id]], True)
            for event in events
        ]

    def record_rejections(self, rejections: Sequence[Rejection], counts: Mapping[tuple[str, str], int]) -> None:
        hour = self._connections.now() // _HOUR * _HOUR
        with self._connections.transaction() as connection:
            for r in rejections:
                connection.write(
                    "INSERT INTO bridge.rejections (webhook, at, status, reason, remote, method)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    (r.webhook, r.at, r.status, r.reason, r.remote, r.method),
                )
            for webhook, filtered in sorted({(rejection.webhook, rejection.filtered) for rejection in rejections}):
                connection.write(
                    "DELETE FROM bridge.rejections WHERE webhook = %s AND (status < 400) = %s AND id <= (SELECT id"
                    " FROM bridge.rejections WHERE webhook = %s AND (status < 400) = %s"
                    " ORDER BY id DESC LIMIT 1 OFFSET %s)",
                    (webhook, filtered, webhook, filtered, REJECTIONS_KEPT),
                )
            # Always in the same order, so that relays waiting for each other's rows can't deadlock.
            for (webhook, outcome), number in sorted(counts.items()):
                connection.write(
                    "INSERT INTO bridge.delivery_counts (webhook, hour, outcome, number) VALUES (%s, %s, %s, %s)"
                    " ON CONFLICT (webhook, hour, outcome) DO UPDATE"
                    " SET number = delivery_counts.number + excluded.number",
                    (webhook, hour, outcome, number),
                )

    def check_writable(self, until: float = float("inf")) -> None:
        with self._connections.transaction(IMPATIENT, until=until) as connection:
            connection.write(
                "INSERT INTO bridge.facts (name, value, at) VALUES ('writable', '1', %s)"
                " ON CONFLICT (name) DO UPDATE SET at = excluded.at",
                (self._connections.now(),),
            )
