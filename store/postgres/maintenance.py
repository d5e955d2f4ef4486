"""Keeps the database small."""

from __future__ import annotations

from store.postgres import remedies
from store.postgres.connections import Connections
from store.postgres.planning import IN_ORDER
from store.sql import clock_set_back
from store.sql.maintenance import Maintenance

_COUNTS = 200
"""Rows of `finished_events` that are summed up."""
_COUNT_EVERY = 5
"""Runs of `run` of which one looks for that: a worker adds some dozens a second at most, and whoever reads them sums
them up anyway."""


class PostgresMaintenance(Maintenance):
    """Maintenance on PostgreSQL."""

    finished = """
    SELECT e.id, ended.settled_at FROM bridge.ended_events ended JOIN bridge.events e ON e.seq = ended.seq
    WHERE ended.settled_at >= %s AND ended.settled_at < %s ORDER BY ended.settled_at LIMIT %s
    FOR UPDATE OF e SKIP LOCKED
    """
    delete_events = """
    WITH pruned AS (DELETE FROM bridge.events WHERE id = ANY(%s) RETURNING status)
    INSERT INTO bridge.finished_events (status, number) SELECT status, -count(*) FROM pruned GROUP BY status
    """

    first = (IN_ORDER,)

    def __init__(self, connections: Connections):
        super().__init__(connections)
        self._connections = connections
        self._runs = 0

    def advice(self) -> list[str]:
        found = self._connections.read(
            "SELECT name, reset_val FROM pg_settings"
            " WHERE name IN ('synchronous_commit', 'fsync', 'full_page_writes', 'synchronous_standby_names')"
            " UNION ALL SELECT 'transaction_read_only', current_setting('transaction_read_only')"
        )
        return remedies.advice(dict(found))

    def run(self) -> None:
        clock_set_back.make_due(self._connections)
        self._runs += 1
        if self._runs % _COUNT_EVERY == 1:
            self._sum_up_counts()
        # The server vacuums by itself, as often as the tables' settings say.

    def _sum_up_counts(self) -> None:
        counted = self._connections.read("SELECT count(*) FROM bridge.finished_events")[0][0]
        if counted > _COUNTS:
            with self._connections.transaction() as connection:
                connection.write(
                    "WITH counted AS (DELETE FROM bridge.finished_events RETURNING status, number)"
                    " INSERT INTO bridge.finished_events (status, number)"
                    " SELECT status, sum(number) FROM counted GROUP BY status HAVING sum(number) != 0",
                )
