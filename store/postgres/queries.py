"""Lists and counts of events, as only PostgreSQL reads them."""

from __future__ import annotations

from store.sql import rows
from store.sql.event_search import EventFilter
from store.sql.queries import STATUSES, Queries
from store.sql.rows import STAGES

_COUNTS = """
SELECT status, sum(number)::bigint FROM bridge.finished_events GROUP BY status
UNION ALL SELECT 'pending', count(*) FROM bridge.unsettled_events WHERE status = 'pending'
"""
_WEBHOOKS = rows.jumps("webhook", "bridge.ended_events", "true")
_OF_EACH = " AND webhook = each.value"
"""Delivered events are most of all, so no index has them in the order of all webhooks. The newest are of those webhooks
whose newest one is among these."""


class PostgresQueries(Queries):
    """Queries on PostgreSQL."""

    def _parts_of(self, query: EventFilter) -> list[str]:
        if query.status is None and query.webhook is None:
            return ["bridge.events WHERE seq < %(before)s"]
        of_webhook = " AND webhook = %(webhook)s" if query.webhook is not None else ""
        of_each = of_webhook or _OF_EACH
        statuses = STATUSES if query.status is None else (query.status,)
        found = [
            f"bridge.ended_events AS part WHERE status = '{status}' AND seq < %(before)s"
            + (of_each if status == "delivered" else of_webhook)
            for status in statuses
            if status != "pending"
        ]
        if "pending" in statuses:
            stages = [f" AND stage = {stage}" for stage in STAGES] if query.webhook is not None else [""]
            found += [
                f"bridge.unsettled_events AS part WHERE status = 'pending' AND seq < %(before)s{of_webhook}{stage}"
                for stage in stages
            ]
        return found

    def _newest(self, part: str, most: str = "%(limit)s") -> str:
        newest = super()._newest(part, most)
        if _OF_EACH not in part:
            return newest
        first = super()._newest(part, "1")
        webhooks = (
            f"SELECT each.value FROM ({_WEBHOOKS}) AS each CROSS JOIN LATERAL ({first}) AS first"
            f" ORDER BY first.seq DESC LIMIT {most}"
        )
        of_each = f"SELECT newest.seq FROM ({webhooks}) AS each CROSS JOIN LATERAL ({newest}) AS newest"
        return f"{of_each} ORDER BY newest.seq DESC LIMIT {most}"

    def event_counts(self) -> dict[str, int]:
        counts: dict[str, int] = dict(self._database.read(_COUNTS))
        return {status: counts[status] for status in STATUSES if counts.get(status)}
