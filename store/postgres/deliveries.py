"""How events are committed, durably and in groups. Those of webhooks with `listen` are numbered so
that no relay waits for another.

Who listens asks for the deliveries after the last one that it has seen. So none may become visible
later with a lower number. A lock held until the commit would ensure that, but then a relay that is
stopped in between would hold up all others. Instead the numbers follow those of the transactions,
and what could still be overtaken isn't listed yet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from store.errors import StoreUnavailable
from store.postgres.connections import LOCK_TIMEOUT, Connection, Connections, inserting
from store.postgres.remedies import translated
from store.postgres.signals import PostgresSignals
from store.postgres.text import Longs, Texts
from store.records import Committed, NewEvent
from store.sql import rows, storable
from store.sql.answers import are_wanted, want
from store.sql.deliveries import CAME_TO, Deliveries, Scheduler, Take
from store.sql.raw_deliveries import RawDeliveries, are_any, keep_accepted

_BITS = 16
"""Of a number, for the deliveries of one transaction: more than a group of them has."""
OVERTAKEN_FOR = 30_000
"""Milliseconds after which no transaction of a relay is still to be committed: the database ends
one that is idle for half as long. So what else writes to the database for long doesn't hold up the
list."""
_NEXT_NUMBER = f"SELECT pg_current_xact_id()::text::bigint << {_BITS}"


class PostgresRawDeliveries(RawDeliveries):
    """Accepted ones are numbered by their transaction."""

    # Those of a transfer from another server, whose transactions had higher numbers: new ones would
    # be below them.
    known = f"number < pg_snapshot_xmax(pg_current_snapshot())::text::bigint << {_BITS}"
    settled = f"""number < greatest(pg_snapshot_xmin(pg_current_snapshot())::text::bigint << {_BITS}, (
        SELECT max(number) + 1 FROM bridge.raw_deliveries
        WHERE webhook = %(webhook)s AND verdict = 'accepted' AND at < %(now)s - {OVERTAKEN_FOR}
    ))"""


IMPATIENT = 2.2
"""Seconds for a commit: a delivery must have its answer within 2.5."""
_MARGIN = 0.1
"""Seconds by which the server gives up before the client does."""
_PAUSE = 0.1
"""Seconds between tries to commit."""
# Any conflict: if the id conflicts, an earlier try stored the events.
_INSERT = f"{inserting(f'bridge.events ({rows.NEW_EVENT})')} ON CONFLICT DO NOTHING RETURNING id"
_COLUMNS = [
    Longs if name in ("received_at", "hold_until") else Texts for name in rows.NEW_EVENT.split(", ")
]
_STORED = "SELECT id FROM bridge.events WHERE id = ANY(%s)"
_FIRST = (
    f"SELECT e.webhook, e.delivery_id, e.id, {CAME_TO} FROM unnest(%s::text[], %s::text[]) AS k"
    " (webhook, delivery_id) JOIN bridge.events e USING (webhook, delivery_id) WHERE e.delivery_id"
    " IS NOT NULL"
)


class PostgresDeliveries(Deliveries):
    """Deliveries on PostgreSQL."""

    def __init__(
        self, connections: Connections, signals: PostgresSignals, scheduler: Scheduler | None
    ):
        self._connections = connections
        self._signals = signals
        super().__init__(connections, scheduler)

    def _reset(self) -> None:
        super()._reset()
        self._turn = threading.Lock()
        self._was_unavailable = False

    def _commit(self, take: Take, until: float) -> list[list[Committed]]:
        until = self._connections.wait_limits.until(IMPATIENT, until)
        # One commit at a time: deliveries that arrive meanwhile share the next one, and the order
        # of arrival is kept.
        if not self._turn.acquire(timeout=max(0.0, until - time.monotonic())):
            raise StoreUnavailable("PostgreSQL: the commit before this one had no answer in time")
        try:
            deliveries = take()
            outcomes = iter(
                self._commit_all([event for events in deliveries for event in events], until)
            )
        finally:
            self._turn.release()
        return [[next(outcomes) for _ in events] for events in deliveries]

    def _commit_all(self, events: Sequence[NewEvent], until: float) -> list[Committed]:
        is_first = True
        while True:
            try:
                outcomes = self._try(events, until, is_first)
            except StoreUnavailable:
                # The server is restarting, or another is taking its place: either may be over
                # within a delivery's time. If a commit's answer was lost, the next try shows
                # whether it succeeded. While the database is known to be away, deliveries are
                # refused at once.
                if self._was_unavailable or time.monotonic() + _PAUSE >= until:
                    self._was_unavailable = True
                    raise
                is_first = False
                time.sleep(_PAUSE)
            else:
                self._was_unavailable = False
                return outcomes

    def _try(self, events: Sequence[NewEvent], until: float, is_first: bool) -> list[Committed]:
        with (
            translated(),
            self._connections.lent(
                until, 0.0 if self._was_unavailable else IMPATIENT
            ) as connection,
        ):
            left = until - time.monotonic() - _MARGIN
            is_alone = len(events) <= rows.STEP and not are_any(events) and not are_wanted(events)
            if is_alone and not connection.is_pooled and left > LOCK_TIMEOUT:
                # A separate transaction, in one round trip.
                stored = self._insert(connection, events)
            else:
                # A delivery that was answered 503 must not be stored later after all, once a lock
                # is free.
                wait = max(1, int(min(left, LOCK_TIMEOUT) * 1000))
                connection.execute(f"{connection.begin}; SET LOCAL lock_timeout = {wait}")
                stored = self._insert(connection, events)
                keep_accepted(connection, events, stored, _NEXT_NUMBER)
                want(connection, events, stored)
                connection.execute("COMMIT")
            if len(stored) == len(events):
                outcomes = [Committed(event.id, False) for event in events]
            else:
                outcomes = self._look_up(connection, events, stored, is_first)
            if not all(outcome.duplicate for outcome in outcomes):
                self._signals.notify("events")
            return outcomes

    def _insert(self, connection: Connection, events: Sequence[NewEvent]) -> set[str]:
        """Inserts events that aren't known yet; returns their ids."""
        stored = set[str]()
        for step in rows.steps(events):
            columns = zip(*map(rows.new_event_row, step), strict=True)
            parameters = [kind(column) for kind, column in zip(_COLUMNS, columns, strict=True)]
            stored |= {event_id for (event_id,) in connection.fetch(_INSERT, parameters)}
        return stored

    def _look_up(
        self, connection: Connection, events: Sequence[NewEvent], stored: set[str], is_first: bool
    ) -> list[Committed]:
        """The outcome for events that weren't inserted: an earlier try of ours stored them, or they
        are duplicates."""
        if not is_first:
            ids = [event.id for event in events if event.id not in stored]
            stored |= {row[0] for row in connection.fetch(_STORED, (ids,))}
        others = [event for event in events if event.id not in stored]
        keys = {
            event.id: (event.webhook, storable.text_without_nul(event.delivery_id or ""))
            for event in others
        }
        found = (
            connection.fetch(_FIRST, tuple(map(list, zip(*keys.values(), strict=True))))
            if keys
            else []
        )
        first = {
            (webhook, delivery_id): Committed(id_, True, came_to)
            for webhook, delivery_id, id_, came_to in found
        }
        if not first.keys() >= set(keys.values()):  # retention has just deleted it
            raise StoreUnavailable("the event that came first is gone")
        # The event found may have been committed just as a server went down, and its standby may
        # not have it yet. The log is ordered: once the standby has this write, it has that event
        # too.
        connection.execute("SELECT pg_logical_emit_message(true, 'webhook-bridge', '')")
        return [
            Committed(event.id, False) if event.id in stored else first[keys[event.id]]
            for event in events
        ]
