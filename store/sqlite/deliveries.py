"""The relay's part of the store: events in, durably and in groups."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from store.group_commit import GroupCommit, Scheduler, Take
from store.protocols import Deliveries
from store.records import Committed, NewEvent, Rejection
from store.rows import new_event_row
from store.sqlite.connections import Connection, Connections
from store.sqlite.signals import SqliteSignals

REJECTIONS_KEPT = 100
"""Rejections that are kept per webhook."""
_HOUR = 3_600_000
_ROWS_A_STATEMENT = 200
_COLUMNS = "id, webhook, received_at, delivery_id, payload, headers, query, hold_until, replay_of"
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"


class SqliteDeliveries(Deliveries):
    """Deliveries on SQLite."""

    def __init__(self, connections: Connections, signals: SqliteSignals, scheduler: Scheduler | None = None):
        """`scheduler`: see `store.group_commit`."""
        self._connections = connections
        self._signals = signals
        self._scheduler = scheduler
        self._reset_group()
        os.register_at_fork(after_in_child=self._reset_group)

    def _reset_group(self) -> None:
        self._group_commit = GroupCommit(self._commit, self._scheduler)

    def append(self, events: Sequence[NewEvent], until: float = float("inf")) -> list[Committed]:
        return self._group_commit.append(events, until)

    def _commit(self, take: Take, until: float) -> list[list[Committed]]:
        with self._connections.transaction(until) as db:
            deliveries = take()
            rows = [event for events in deliveries for event in events]
            stored = set[str]()
            for start in range(0, len(rows), _ROWS_A_STATEMENT):
                stored |= _insert(db, rows[start : start + _ROWS_A_STATEMENT])
            first = {} if len(stored) == len(rows) else _first_ids(db, rows, stored)
        if stored:
            self._signals.tell("events")
        return [
            [Committed(event.id, False) if event.id in stored else Committed(first[event.id], True) for event in events]
            for events in deliveries
        ]

    def record_rejections(self, rejections: Sequence[Rejection], counts: Mapping[tuple[str, str], int]) -> None:
        hour = self._connections.now() // _HOUR * _HOUR
        with self._connections.transaction() as db:
            db.executemany(
                "INSERT INTO rejections (webhook, at, status, reason, remote, method) VALUES (?, ?, ?, ?, ?, ?)",
                [(r.webhook, r.at, r.status, r.reason, r.remote, r.method) for r in rejections],
            )
            for webhook, filtered in {(rejection.webhook, rejection.filtered) for rejection in rejections}:
                db.execute(
                    "DELETE FROM rejections WHERE webhook = ?1 AND (status < 400) = ?2 AND id <= (SELECT id"
                    " FROM rejections WHERE webhook = ?1 AND (status < 400) = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3)",
                    (webhook, filtered, REJECTIONS_KEPT),
                )
            db.executemany(
                "INSERT INTO delivery_counts (webhook, hour, outcome, number) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (webhook, hour, outcome) DO UPDATE SET number = number + excluded.number",
                [(webhook, hour, outcome, number) for (webhook, outcome), number in counts.items()],
            )

    def check_writable(self, until: float = float("inf")) -> None:
        with self._connections.transaction(until) as db:
            db.execute(
                "INSERT INTO facts (name, value, at) VALUES ('writable', '1', ?)"
                " ON CONFLICT (name) DO UPDATE SET at = excluded.at",
                (self._connections.now(),),
            )


def _insert(db: Connection, rows: Sequence[NewEvent]) -> set[str]:
    """Inserts the events whose delivery ids are new; returns their ids."""
    parameters: list[object] = []
    for event in rows:
        parameters += new_event_row(event)
    sql = (
        f"INSERT INTO events ({_COLUMNS}) VALUES {', '.join([_ROW] * len(rows))}"
        " ON CONFLICT (webhook, delivery_id) WHERE delivery_id IS NOT NULL DO NOTHING RETURNING id"
    )
    return {row[0] for row in db.execute(sql, parameters).fetchall()}


def _first_ids(db: Connection, rows: Sequence[NewEvent], stored: set[str]) -> dict[str, str]:
    """For each duplicate the id of the event that came first with its delivery id."""
    return {
        event.id: db.execute(
            "SELECT id FROM events WHERE webhook = ? AND delivery_id = ?", (event.webhook, event.delivery_id)
        ).fetchone()[0]
        for event in rows
        if event.id not in stored
    }
