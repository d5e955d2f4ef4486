"""Lists and counts of events, as only PostgreSQL reads them."""

from __future__ import annotations

from store.event_filter import EventFilter
from store.sql.queries import STATUSES, SqlQueries

_COUNTS = """
SELECT status, sum(number)::bigint FROM bridge.finished_events GROUP BY status
UNION ALL SELECT 'pending', (SELECT count(*) FROM bridge.events WHERE decided_at IS NULL)
    + (SELECT count(*) FROM bridge.events WHERE decided_at IS NOT NULL AND status = 'pending')
"""


class PostgresQueries(SqlQueries):
    """Queries on PostgreSQL."""

    def _parts_of(self, query: EventFilter) -> list[str]:
        of_webhook = " AND webhook = %(webhook)s" if query.webhook is not None else ""
        statuses = STATUSES if query.status is None else (query.status,)
        conditions = [f"decided_at IS NOT NULL AND status = '{status}'{of_webhook}" for status in statuses]
        if "pending" in statuses:
            conditions.append(f"decided_at IS NULL{of_webhook}")
        if query.status is None and query.webhook is None:
            conditions = ["true"]
        return [f"bridge.events WHERE {condition} AND seq < %(before)s" for condition in conditions]

    def event_counts(self) -> dict[str, int]:
        counts: dict[str, int] = dict(self._database.read(_COUNTS))
        return {status: counts[status] for status in STATUSES if counts.get(status)}
