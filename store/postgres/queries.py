"""What people look at: lists and details for the command line and the admin page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, get_args

from store import rows
from store.postgres.connections import Connections, Parameters
from store.postgres.overdue import overdue
from store.protocols import Queries
from store.records import Event, EventFilter, EventStatus, Rejection, Target, Task

_STATUSES: tuple[EventStatus, ...] = get_args(EventStatus)
_SEARCHED = 100_000
"""Events that one search for a text reads at most."""
_NEWEST = 2**62
"""More than any `seq`."""


def _parts_of(query: EventFilter) -> list[str]:
    """What the list is put together from: each part is read from one index, newest first."""
    of_webhook = " AND webhook = %(webhook)s" if query.webhook is not None else ""
    statuses = _STATUSES if query.status is None else (query.status,)
    if query.status is None and not of_webhook:
        return ["true"]
    decided = [f"decided_at IS NOT NULL AND status = '{status}'{of_webhook}" for status in statuses]
    return [f"decided_at IS NULL{of_webhook}", *decided] if "pending" in statuses else decided


def _columns(query: EventFilter) -> str:
    return rows.LISTED_EVENT if query.listing else rows.EVENT


class PostgresQueries(Queries):
    """Queries on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def _all(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        return self._connections.read(sql, parameters)

    # --- events and their targets ---

    def events(self, query: EventFilter) -> list[Event]:
        if query.status is not None and query.status not in _STATUSES:
            return []
        values = {
            "before": _NEWEST if query.before_seq is None else query.before_seq,
            "webhook": query.webhook,
            "status": query.status,
            "limit": query.limit,
        }
        if query.text:
            return self._search(query, {**values, "text": query.text})
        seqs = " UNION ALL ".join(
            f"(SELECT seq FROM bridge.events WHERE {part} AND seq < %(before)s ORDER BY seq DESC LIMIT %(limit)s)"
            for part in _parts_of(query)
        )
        sql = f"SELECT {_columns(query)} FROM bridge.events WHERE seq IN ({seqs}) ORDER BY seq DESC LIMIT %(limit)s"
        return [rows.event(row) for row in self._all(sql, values)]

    def _search(self, query: EventFilter, values: dict[str, Any]) -> list[Event]:
        newest = self._all(
            "SELECT seq FROM bridge.events WHERE seq < %(before)s ORDER BY seq DESC LIMIT 1",
            {"before": values["before"]},
        )
        where = "strpos(id, %(text)s) + strpos(coalesce(delivery_id, ''), %(text)s) + strpos(payload, %(text)s) > 0"
        if query.webhook is not None:
            where += " AND webhook = %(webhook)s"
        if query.status is not None:
            where += " AND status = %(status)s"
        sql = (
            f"SELECT {_columns(query)} FROM bridge.events WHERE seq < %(before)s AND seq > %(after)s AND {where}"
            " ORDER BY seq DESC LIMIT %(limit)s"
        )
        after = newest[0][0] - _SEARCHED if newest else 0
        return [rows.event(row) for row in self._all(sql, {**values, "after": after})]

    def event(self, event_id: str) -> Event | None:
        found = self._all(f"SELECT {rows.EVENT} FROM bridge.events WHERE id = %s", [event_id])
        return rows.event(found[0]) if found else None

    def events_of(self, event_ids: Sequence[str]) -> dict[str, Event]:
        if not event_ids:
            return {}
        sql = f"SELECT {rows.EVENT} FROM bridge.events WHERE id = ANY(%s)"
        return {event.id: event for event in map(rows.event, self._connections.read(sql, (list(event_ids),)))}

    def targets_of(self, event_ids: Sequence[str]) -> list[Target]:
        sql = f"SELECT {rows.TARGET} FROM bridge.targets WHERE event_id = ANY(%s) ORDER BY id"
        return [rows.target(row) for row in self._all(sql, [list(event_ids)])] if event_ids else []

    def targets_on(self, task_id: str) -> list[Target]:
        sql = f"SELECT {rows.TARGET} FROM bridge.targets WHERE task_id = %s ORDER BY id"
        return [rows.target(row) for row in self._all(sql, [task_id])]

    def event_counts(self) -> dict[str, int]:
        counts = dict(
            self._all(
                "SELECT status, sum(number)::bigint FROM bridge.finished_events GROUP BY status"
                " UNION ALL SELECT 'pending', (SELECT count(*) FROM bridge.events WHERE decided_at IS NULL)"
                " + (SELECT count(*) FROM bridge.events WHERE decided_at IS NOT NULL AND status = 'pending')"
            )
        )
        return {status: counts[status] for status in _STATUSES if counts.get(status)}

    def oldest_pending(self) -> int | None:
        """When the oldest event arrived that is undecided or has a call to be made: none that is held or set aside."""
        found: int | None = self._all(
            "SELECT min(received_at) FROM ("
            "(SELECT received_at FROM bridge.events e WHERE decided_at IS NULL AND NOT EXISTS"
            " (SELECT 1 FROM bridge.quarantine q WHERE q.kind = 'event' AND q.id = e.id) ORDER BY seq LIMIT 1)"
            " UNION ALL"
            " SELECT e.received_at FROM bridge.targets t JOIN bridge.events e ON e.id = t.event_id"
            " WHERE t.state = 'pending' AND NOT EXISTS"
            " (SELECT 1 FROM bridge.quarantine q WHERE q.kind = 'target' AND q.id = t.id::text)"
            " UNION ALL"
            " SELECT e.received_at FROM bridge.targets t JOIN bridge.events e ON e.id = t.event_id"
            " WHERE t.state = 'claimed' AND NOT EXISTS"
            " (SELECT 1 FROM bridge.quarantine q WHERE q.kind = 'target' AND q.id = t.id::text)) AS live"
        )[0][0]
        return found

    # --- tasks ---

    def waiting_tasks(self, after: str = "", limit: int = 1000, workflow: str | None = None) -> list[Task]:
        only = "AND workflow = %s" if workflow is not None else ""
        sql = f"SELECT {rows.TASK} FROM bridge.tasks WHERE state = 'waiting' AND id > %s {only} ORDER BY id LIMIT %s"
        return [rows.task(row) for row in self._all(sql, [after, *([workflow] if only else []), limit])]

    def task(self, task_id: str) -> Task | None:
        found = self._all(f"SELECT {rows.TASK} FROM bridge.tasks WHERE id = %s", [task_id])
        return rows.task(found[0]) if found else None

    def broken_tasks(self, limit: int = 50) -> list[Task]:
        """Waiting tasks whose matches can't be parsed."""
        sql = (
            f"SELECT {rows.TASK} FROM bridge.tasks WHERE state = 'waiting' AND broken IS NOT NULL ORDER BY id LIMIT %s"
        )
        return [rows.task(row) for row in self._all(sql, [limit])]

    def waiting_by_workflow(self) -> dict[str, int]:
        """workflow → number of waiting tasks."""
        found = self._all("SELECT workflow, count(*) FROM bridge.tasks WHERE state = 'waiting' GROUP BY workflow")
        return dict(found)

    def waiting_count(self) -> int:
        """Number of waiting tasks."""
        return int(self._all("SELECT count(*) FROM bridge.tasks WHERE state = 'waiting'")[0][0])

    # --- deliveries, and what the processes say ---

    def rejections(self, webhook: str | None = None, limit: int = 50, filtered: bool = False) -> list[Rejection]:
        only = "webhook = %s AND" if webhook is not None else ""
        where = f"{only} (status < 400) = %s"
        sql = f"SELECT {rows.REJECTION} FROM bridge.rejections WHERE {where} ORDER BY id DESC LIMIT %s"
        return [rows.rejection(row) for row in self._all(sql, [*([webhook] if only else []), filtered, limit])]

    def delivery_counts(self, since: int) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = {}
        for webhook, outcome, number in self._all(
            "SELECT webhook, outcome, sum(number)::bigint FROM bridge.delivery_counts WHERE hour > %s - 3600000"
            " GROUP BY webhook, outcome",
            [since],
        ):
            counts.setdefault(webhook, {})[outcome] = number
        return counts

    def delivery_hours(self, since: int, webhook: str | None = None) -> list[tuple[int, str, int]]:
        only = "AND webhook = %s" if webhook is not None else ""
        found = self._all(
            f"SELECT hour, outcome, sum(number)::bigint FROM bridge.delivery_counts WHERE hour > %s - 3600000 {only}"
            " GROUP BY hour, outcome ORDER BY hour",
            [since, *([webhook] if only else [])],
        )
        return [(hour, outcome, number) for hour, outcome, number in found]

    def overdue(self, before: int, without: Collection[str] = (), paced: Collection[str] = ()) -> set[str]:
        return overdue(self._connections, before, without, paced)
