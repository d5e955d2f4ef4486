"""How events are committed, durably and in groups."""

from __future__ import annotations

from collections.abc import Sequence

from store.records import Committed, NewEvent
from store.sql.answers import want
from store.sql.database import Signals
from store.sql.deliveries import CAME_TO, Deliveries, Scheduler, Take
from store.sql.raw_deliveries import keep_accepted
from store.sql.rows import NEW_EVENT, new_event_row
from store.sqlite.connections import Connection, Connections

_ROWS_A_STATEMENT = 200
_ROW = f"({', '.join('?' for _ in NEW_EVENT.split(','))})"


class SqliteDeliveries(Deliveries):
    """Deliveries on SQLite."""

    def __init__(self, connections: Connections, signals: Signals, scheduler: Scheduler | None):
        self._connections = connections
        self._signals = signals
        super().__init__(connections, scheduler)

    def _commit(self, take: Take, until: float) -> list[list[Committed]]:
        with self._connections.transaction(until) as db:
            deliveries = take()
            rows = [event for events in deliveries for event in events]
            stored = set[str]()
            for start in range(0, len(rows), _ROWS_A_STATEMENT):
                stored |= _insert(db, rows[start : start + _ROWS_A_STATEMENT])
            keep_accepted(db, rows, stored)
            want(db, rows, stored)
            first = {} if len(stored) == len(rows) else _repeated(db, rows, stored)
        if stored:
            self._signals.notify("events")
        return [
            [
                Committed(event.id, False) if event.id in stored else first[event.id]
                for event in events
            ]
            for events in deliveries
        ]


def _insert(db: Connection, rows: Sequence[NewEvent]) -> set[str]:
    """Inserts the events whose delivery ids are new; returns their ids."""
    parameters: list[object] = []
    for event in rows:
        parameters += new_event_row(event)
    sql = (
        f"INSERT INTO events ({NEW_EVENT}) VALUES {', '.join([_ROW] * len(rows))}"
        " ON CONFLICT (webhook, delivery_id) WHERE delivery_id IS NOT NULL DO NOTHING RETURNING id"
    )
    return {row[0] for row in db.execute(sql, parameters).fetchall()}


def _repeated(db: Connection, rows: Sequence[NewEvent], stored: set[str]) -> dict[str, Committed]:
    """For each duplicate the event that came first with its delivery id."""
    sql = f"SELECT id, {CAME_TO} FROM events WHERE webhook = ? AND delivery_id = ?"
    return {
        event.id: Committed(id_, True, came_to)
        for event in rows
        if event.id not in stored
        for id_, came_to in db.execute(sql, (event.webhook, event.delivery_id)).fetchall()
    }
