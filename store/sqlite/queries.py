"""What people look at: lists and details for the command line and the admin page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, get_args

from store.protocols import Queries
from store.records import Event, EventFilter, EventStatus, Rejection, Target, Task
from store.sqlite import rows
from store.sqlite.connections import Connections
from store.sqlite.overdue import overdue
from store.sqlite.parts import marks, parts

_STATUSES: tuple[EventStatus, ...] = get_args(EventStatus)
_FINISHED = tuple(status for status in _STATUSES if status != "pending")
_SEARCHED = 100_000
"""Events that one search for a text reads at most."""
_NEWEST = 2**62
"""More than any `seq`."""

# Each part of a list is read from one index, newest first. SQLite wouldn't choose them all by itself.
_ALL = "events WHERE seq < :before"
_UNDECIDED = "events INDEXED BY events_pending WHERE status = 'pending' AND decided_at IS NULL AND seq < :before"
_DECIDED = "events INDEXED BY events_pending WHERE status = 'pending' AND decided_at >= 0 AND seq < :before"
_UNDECIDED_OF_WEBHOOK = (
    "events INDEXED BY events_undecided WHERE decided_at IS NULL AND webhook = :webhook AND seq < :before"
)
_DECIDED_OF_WEBHOOK = f"{_DECIDED} AND webhook = :webhook"


def _finished(status: EventStatus, webhook: bool) -> str:
    if webhook:
        index, of_webhook = "events_of_webhook", " AND webhook = :webhook"
    else:
        index, of_webhook = "events_status", ""
    return f"events INDEXED BY {index} WHERE status != 'pending' AND status = '{status}'{of_webhook} AND seq < :before"


def _parts_of(query: EventFilter) -> list[str]:
    """What the list is put together from."""
    webhook = query.webhook is not None
    if query.status is None and not webhook:
        return [_ALL]
    pending = [_UNDECIDED_OF_WEBHOOK, _DECIDED_OF_WEBHOOK] if webhook else [_UNDECIDED, _DECIDED]
    finished = [_finished(status, webhook) for status in _FINISHED if query.status in (None, status)]
    return [*(pending if query.status in (None, "pending") else ()), *finished]


def _columns(query: EventFilter) -> str:
    return rows.LISTED_EVENT if query.listing else rows.EVENT


class SqliteQueries(Queries):
    """Queries on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def _all(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        return self._connections.read(sql, parameters)

    def events(self, query: EventFilter) -> list[Event]:
        before = _NEWEST if query.before_seq is None else query.before_seq
        values = {"before": before, "webhook": query.webhook, "status": query.status, "limit": query.limit}
        if query.text:
            return self._search(query, {**values, "text": query.text})
        seqs = " UNION ALL ".join(
            f"SELECT * FROM (SELECT seq FROM {part} ORDER BY seq DESC LIMIT :limit)" for part in _parts_of(query)
        )
        sql = f"SELECT {_columns(query)} FROM events WHERE seq IN ({seqs}) ORDER BY seq DESC LIMIT :limit"
        return [rows.event(row) for row in self._all(sql, values)]

    def _search(self, query: EventFilter, values: dict[str, Any]) -> list[Event]:
        newest = self._all("SELECT seq FROM events WHERE seq < :before ORDER BY seq DESC LIMIT 1", values)
        where = "(instr(id, :text) OR instr(coalesce(delivery_id, ''), :text) OR instr(payload, :text))"
        if query.webhook is not None:
            where += " AND webhook = :webhook"
        if query.status is not None:
            where += " AND status = :status"
        sql = (
            f"SELECT {_columns(query)} FROM events WHERE seq < :before AND seq > :after AND {where}"
            f" UNION SELECT {_columns(query)} FROM events WHERE id = :text AND seq < :before AND {where}"
            " ORDER BY seq DESC LIMIT :limit"
        )
        after = newest[0][0] - _SEARCHED if newest else 0
        return [rows.event(row) for row in self._all(sql, {**values, "after": after})]

    def event(self, event_id: str) -> Event | None:
        found = self._all(f"SELECT {rows.EVENT} FROM events WHERE id = ?", [event_id])
        return rows.event(found[0]) if found else None

    def events_of(self, event_ids: Sequence[str]) -> dict[str, Event]:
        found: list[Event] = []
        for part in parts(event_ids):
            found += (
                rows.event(row)
                for row in self._connections.read(f"SELECT {rows.EVENT} FROM events WHERE id IN ({marks(part)})", part)
            )
        return {event.id: event for event in found}

    def targets_of(self, event_ids: Sequence[str]) -> list[Target]:
        found: list[Target] = []
        for part in parts(event_ids):
            sql = f"SELECT {rows.TARGET} FROM targets WHERE event_id IN ({marks(part)})"
            found += (rows.target(row) for row in self._all(sql, part))
        return sorted(found, key=lambda target: target.id)

    def waiting_tasks(self, after: str = "", limit: int = 1000, workflow: str | None = None) -> list[Task]:
        only = "AND workflow = :workflow" if workflow is not None else ""
        sql = f"SELECT {rows.TASK} FROM tasks WHERE state = 'waiting' AND id > :after {only} ORDER BY id LIMIT :limit"
        values = {"after": after, "workflow": workflow, "limit": limit}
        # An id that isn't UTF-8 is read as another one: what is read again goes no further.
        return [task for task in map(rows.task, self._all(sql, values)) if task.id > after]

    def task(self, task_id: str) -> Task | None:
        found = self._all(f"SELECT {rows.TASK} FROM tasks WHERE id = ?", [task_id])
        return rows.task(found[0]) if found else None

    def targets_on(self, task_id: str) -> list[Target]:
        sql = f"SELECT {rows.TARGET} FROM targets WHERE task_id = ? ORDER BY id"
        return [rows.target(row) for row in self._all(sql, [task_id])]

    def rejections(self, webhook: str | None = None, limit: int = 50, filtered: bool = False) -> list[Rejection]:
        only = "webhook = ? AND" if webhook is not None else ""
        sql = f"SELECT {rows.REJECTION} FROM rejections WHERE {only} (status < 400) = ? ORDER BY id DESC LIMIT ?"
        return [rows.rejection(row) for row in self._all(sql, [*([webhook] if only else []), filtered, limit])]

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

    def event_counts(self) -> dict[str, int]:
        counts = dict(self._all("SELECT status, number FROM finished_events"))
        counts["pending"] = self._all("SELECT count(*) FROM events WHERE status = 'pending'")[0][0]
        return {status: counts[status] for status in _STATUSES if counts.get(status)}

    def oldest_pending(self) -> int | None:
        """When the oldest event arrived that is undecided or has a call to be made: none that is held or set aside."""
        live = (
            "SELECT e.received_at FROM targets INDEXED BY {} JOIN events e ON e.id = event_id WHERE state = '{}'"
            " AND NOT EXISTS (SELECT 1 FROM quarantine WHERE quarantine.kind = 'target'"
            " AND quarantine.id = CAST(targets.id AS TEXT))"
        )
        found: int | None = self._all(
            "SELECT min(received_at) FROM ("
            "SELECT * FROM (SELECT received_at FROM events WHERE status = 'pending' AND decided_at IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM quarantine WHERE quarantine.kind = 'event' AND quarantine.id = events.id)"
            " ORDER BY seq LIMIT 1)"
            f" UNION ALL {live.format('targets_pending', 'pending')}"
            f" UNION ALL {live.format('targets_claimed', 'claimed')})"
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

    def overdue(self, before: int, without: Collection[str] = (), paced: Collection[str] = ()) -> set[str]:
        return overdue(self._connections, before, without, paced)
