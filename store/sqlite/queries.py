"""Lists and counts of events, as only SQLite reads them."""

from __future__ import annotations

from store.records import EventStatus
from store.sql.event_search import EventFilter
from store.sql.queries import STATUSES, Queries

# Each part of a list is read from one index, newest first. SQLite wouldn't choose all of them by itself.
_ALL = "bridge.events WHERE seq < %(before)s"
_UNDECIDED = (
    "bridge.events INDEXED BY events_pending WHERE status = 'pending' AND decided_at IS NULL AND seq < %(before)s"
)
_DECIDED = "bridge.events INDEXED BY events_pending WHERE status = 'pending' AND decided_at >= 0 AND seq < %(before)s"
_UNDECIDED_OF_WEBHOOK = (
    "bridge.events INDEXED BY events_undecided WHERE decided_at IS NULL AND webhook = %(webhook)s AND seq < %(before)s"
)
_DECIDED_OF_WEBHOOK = (
    "bridge.events INDEXED BY events_decided WHERE status = 'pending' AND decided_at IS NOT NULL"
    " AND webhook = %(webhook)s AND seq < %(before)s"
)


def _finished(status: EventStatus, webhook: bool) -> str:
    if webhook:
        index, of_webhook = "events_of_webhook", " AND webhook = %(webhook)s"
    else:
        index, of_webhook = "events_status", ""
    return (
        f"bridge.events INDEXED BY {index}"
        f" WHERE status != 'pending' AND status = '{status}'{of_webhook} AND seq < %(before)s"
    )


class SqliteQueries(Queries):
    """Queries on SQLite."""

    def _parts_of(self, query: EventFilter) -> list[str]:
        webhook = query.webhook is not None
        if query.status is None and not webhook:
            return [_ALL]
        pending = [_UNDECIDED_OF_WEBHOOK, _DECIDED_OF_WEBHOOK] if webhook else [_UNDECIDED, _DECIDED]
        statuses = STATUSES if query.status is None else (query.status,)
        finished = [_finished(status, webhook) for status in statuses if status != "pending"]
        return [*(pending if "pending" in statuses else ()), *finished]

    def event_counts(self) -> dict[str, int]:
        counts = dict(self._database.read("SELECT status, number FROM finished_events"))
        counts["pending"] = self._database.read("SELECT count(*) FROM events WHERE status = 'pending'")[0][0]
        return {status: counts[status] for status in STATUSES if counts.get(status)}
