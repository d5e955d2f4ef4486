"""What people look at: lists and details for the command line and the admin page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, get_args

from events.records import Change, Event, EventFilter, EventStatus, Rejection, Target, Task
from events.sqlite import rows
from events.sqlite.connections import Connections

CHANGES_KEPT = 10_000
_STATUSES: tuple[str, ...] = get_args(EventStatus)


def _has_status(status: str) -> str:
    """SQL for "has this status", in the words of the partial index that serves it."""
    if status not in _STATUSES:
        return "0"
    return "status = 'pending'" if status == "pending" else f"status != 'pending' AND status = '{status}'"


class Queries:
    """Implements `events.store.Queries`."""

    _connections: Connections

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connections.read(sql, parameters)

    def events(self, query: EventFilter) -> list[Event]:
        where, parameters = ["1"], list[Any]()
        if query.webhook is not None:
            where.append("webhook = ?")
            parameters.append(query.webhook)
        if query.status is not None:
            where.append(_has_status(query.status))
        if query.before_seq is not None:
            where.append("seq < ?")
            parameters.append(query.before_seq)
        if query.text:
            where.append("(instr(id, ?) OR instr(coalesce(delivery_id, ''), ?) OR instr(payload, ?))")
            parameters += [query.text] * 3
        sql = f"SELECT {rows.EVENT} FROM events WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"
        return [rows.event(row) for row in self._all(sql, [*parameters, query.limit])]

    def event(self, event_id: str) -> Event | None:
        found = self._all(f"SELECT {rows.EVENT} FROM events WHERE id = ?", [event_id])
        return rows.event(found[0]) if found else None

    def targets_of(self, event_ids: Sequence[str]) -> list[Target]:
        marks = ", ".join("?" * len(event_ids))
        sql = f"SELECT {rows.TARGET} FROM targets WHERE event_id IN ({marks}) ORDER BY id"
        return [rows.target(row) for row in self._all(sql, event_ids)]

    def waiting_tasks(self, after: str = "", limit: int = 1000, workflow: str | None = None) -> list[Task]:
        only = "AND workflow = ?" if workflow is not None else ""
        sql = f"SELECT {rows.TASK} FROM tasks WHERE state = 'waiting' AND id > ? {only} ORDER BY id LIMIT ?"
        return [rows.task(row) for row in self._all(sql, [after, *([workflow] if only else []), limit])]

    def task(self, task_id: str) -> Task | None:
        found = self._all(f"SELECT {rows.TASK} FROM tasks WHERE id = ?", [task_id])
        return rows.task(found[0]) if found else None

    def targets_on(self, task_id: str) -> list[Target]:
        sql = f"SELECT {rows.TARGET} FROM targets WHERE task_id = ? ORDER BY id"
        return [rows.target(row) for row in self._all(sql, [task_id])]

    def verifications(self) -> dict[str, tuple[str, int]]:
        found = self._all("SELECT webhook, fingerprint, verified_at FROM verifications")
        return {webhook: (fingerprint, at) for webhook, fingerprint, at in found}

    def rejections(self, webhook: str | None = None, limit: int = 50) -> list[Rejection]:
        only = "WHERE webhook = ?" if webhook is not None else ""
        sql = f"SELECT {rows.REJECTION} FROM rejections {only} ORDER BY id DESC LIMIT ?"
        return [rows.rejection(row) for row in self._all(sql, [*([webhook] if only else []), limit])]

    def delivery_counts(self, since: int) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = {}
        for webhook, outcome, number in self._all(
            "SELECT webhook, outcome, sum(number) FROM delivery_counts WHERE hour + 3600000 > ?"
            " GROUP BY webhook, outcome",
            [since],
        ):
            counts.setdefault(webhook, {})[outcome] = number
        return counts

    def delivery_hours(self, since: int, webhook: str | None = None) -> list[tuple[int, str, int]]:
        only = "AND webhook = ?" if webhook is not None else ""
        found = self._all(
            f"SELECT hour, outcome, sum(number) FROM delivery_counts WHERE hour + 3600000 > ? {only}"
            " GROUP BY hour, outcome ORDER BY hour",
            [since, *([webhook] if only else [])],
        )
        return [(hour, outcome, number) for hour, outcome, number in found]

    def record_change(self, change: Change) -> None:
        with self._connections.transaction() as db:
            db.execute(
                "INSERT INTO changes (at, who, what, webhook, detail) VALUES (?, ?, ?, ?, ?)",
                (change.at, change.who, change.what, change.webhook, change.detail),
            )
            db.execute("DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - ?", (CHANGES_KEPT,))

    def changes(self, webhook: str | None = None, limit: int = 50) -> list[Change]:
        only = "WHERE webhook = ?" if webhook is not None else ""
        sql = f"SELECT at, who, what, webhook, detail FROM changes {only} ORDER BY id DESC LIMIT ?"
        return [Change(*row) for row in self._all(sql, [*([webhook] if only else []), limit])]

    def event_counts(self) -> dict[str, int]:
        counts = [
            (status, self._all(f"SELECT count(*) FROM events WHERE {_has_status(status)}")[0][0])
            for status in _STATUSES
        ]
        return {status: number for status, number in counts if number}

    def oldest_pending(self) -> int | None:
        """When the oldest event arrived that is undecided or has a call to be made; held events don't count."""
        found: int | None = self._all(
            "SELECT min(received_at) FROM ("
            "SELECT received_at FROM events WHERE status = 'pending' AND decided_at IS NULL"
            " UNION ALL"
            " SELECT e.received_at FROM targets t JOIN events e ON e.id = t.event_id"
            " WHERE t.state IN ('pending', 'claimed'))"
        )[0][0]
        return found

    def broken_tasks(self, limit: int = 50) -> list[Task]:
        """Waiting tasks whose matches can't be parsed."""
        sql = f"SELECT {rows.TASK} FROM tasks WHERE state = 'waiting' AND broken IS NOT NULL ORDER BY id LIMIT ?"
        return [rows.task(row) for row in self._all(sql, [limit])]

    def waiting_by_workflow(self) -> dict[str, int]:
        """workflow → number of waiting tasks."""
        found = self._all("SELECT workflow, count(*) FROM tasks WHERE state = 'waiting' GROUP BY workflow")
        return dict(found)

    def waiting_count(self) -> int:
        """Number of waiting tasks."""
        return int(self._all("SELECT count(*) FROM tasks WHERE state = 'waiting'")[0][0])

    def facts(self) -> dict[str, str]:
        return dict(self._all("SELECT name, value FROM facts WHERE name != 'fingerprint_salt'"))

    def set_fact(self, name: str, value: str | None) -> None:
        with self._connections.transaction() as db:
            if value is None:
                db.execute("DELETE FROM facts WHERE name = ?", (name,))
            else:
                db.execute(
                    "INSERT INTO facts (name, value, at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
                    " SET value = excluded.value, at = excluded.at",
                    (name, value, int(time.time() * 1000)),
                )
