"""Keeps the database small."""

from __future__ import annotations

from functools import partial

from store import rows
from store.postgres import quarantine, remedies
from store.postgres.connections import Connections
from store.protocols import Maintenance
from store.records import Pruned
from store.sql import clock_set_back, once_keys

_WITHOUT_TARGETS = """
SELECT id FROM unnest(%s::text[]) AS pruned (id) WHERE NOT EXISTS (
    SELECT 1 FROM bridge.targets t WHERE t.event_id = pruned.id
)
"""
_COUNTS = 200
"""Rows of `finished_events` that are summed up."""


class PostgresMaintenance(Maintenance):
    """Maintenance on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def advice(self) -> list[str]:
        found = self._connections.read(
            "SELECT name, reset_val FROM pg_settings"
            " WHERE name IN ('synchronous_commit', 'fsync', 'full_page_writes', 'synchronous_standby_names')"
        )
        return remedies.advice(dict(found))

    def run(self) -> None:
        clock_set_back.make_due(self._connections)
        # The server vacuums by itself, as often as the tables' settings say.
        counted = self._connections.read("SELECT count(*) FROM bridge.finished_events")[0][0]
        if counted > _COUNTS:
            with self._connections.transaction() as connection:
                connection.write(
                    "WITH counted AS (DELETE FROM bridge.finished_events RETURNING status, number)"
                    " INSERT INTO bridge.finished_events (status, number)"
                    " SELECT status, sum(number) FROM counted GROUP BY status HAVING sum(number) != 0",
                )

    def prune(self, before: int, limit: int) -> Pruned:
        with self._connections.transaction() as connection:
            take_back = partial(quarantine.take_back, connection)
            # Several workers may prune: each skips what another is deleting.
            found = connection.fetch(
                "SELECT id FROM bridge.events WHERE settled_at < %s ORDER BY settled_at LIMIT %s"
                " FOR UPDATE SKIP LOCKED",
                (before, limit),
            )
            ids = [row[0] for row in found]
            targets: list[int] = []
            if ids:
                of_events = "SELECT id FROM bridge.targets WHERE event_id = ANY(%s) LIMIT %s"
                targets = [row[0] for row in connection.fetch(of_events, (ids, rows.STEP))]
                once_keys.prune(connection, targets)
                take_back("target", list(map(str, targets)))
                connection.write("DELETE FROM bridge.targets WHERE id = ANY(%s)", (targets,))
                if len(targets) == rows.STEP:  # events that still have targets are left to the next step
                    ids = [row[0] for row in connection.fetch(_WITHOUT_TARGETS, (ids,))]
                take_back("event", ids)
                connection.write(
                    "WITH pruned AS (DELETE FROM bridge.events WHERE id = ANY(%s) RETURNING status)"
                    " INSERT INTO bridge.finished_events (status, number)"
                    " SELECT status, -count(*) FROM pruned GROUP BY status",
                    (ids,),
                )
            tasks = connection.fetch(
                "SELECT id, workflow_id FROM bridge.tasks WHERE settled_at < %s ORDER BY settled_at LIMIT %s"
                " FOR UPDATE SKIP LOCKED",
                (before, limit),
            )
            if tasks:
                take_back("task", [row[0] for row in tasks])
                take_back("workflow", [row[1] for row in tasks])
                connection.write("DELETE FROM bridge.tasks WHERE id = ANY(%s)", ([row[0] for row in tasks],))
                connection.write(
                    "DELETE FROM bridge.workflows WHERE id = ANY(%s)",
                    (sorted({row[1] for row in tasks}),),
                )
            quarantine.prune(connection, before, limit)
            connection.write("DELETE FROM bridge.delivery_counts WHERE hour < %s", (before,))
        more = len(found) == limit or len(targets) == rows.STEP or len(tasks) == limit
        return Pruned(len(ids), more)
