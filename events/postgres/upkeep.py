"""What keeps the database small."""

from __future__ import annotations

from functools import partial

from events.postgres import onces, quarantine, words
from events.postgres.connections import Connections

_COUNTS = 200
"""Rows of `finished_events` that are added up."""


class Upkeep:
    """Implements `events.store.Upkeep`."""

    _connections: Connections

    def advice(self) -> list[str]:
        found = self._connections.read(
            "SELECT name, reset_val FROM pg_settings"
            " WHERE name IN ('synchronous_commit', 'fsync', 'full_page_writes', 'synchronous_standby_names')"
        )
        return words.advice(dict(found))

    def tend(self) -> None:
        # The server vacuums by itself: the tables say how often.
        counted = self._connections.read("SELECT count(*) FROM bridge.finished_events")[0][0]
        if counted > _COUNTS:
            with self._connections.transaction() as connection:
                self._connections.execute(
                    connection,
                    "WITH counted AS (DELETE FROM bridge.finished_events RETURNING status, number)"
                    " INSERT INTO bridge.finished_events (status, number)"
                    " SELECT status, sum(number) FROM counted GROUP BY status HAVING sum(number) != 0",
                )

    def prune(self, before: int, limit: int) -> int:
        with self._connections.transaction() as connection:
            fetch, execute = self._connections.fetch, self._connections.execute
            take_back = partial(quarantine.take_back, self._connections, connection)
            # Several workers prune: what one is deleting, the others leave to it.
            found = fetch(
                connection,
                "SELECT id FROM bridge.events WHERE settled_at < %s ORDER BY settled_at LIMIT %s"
                " FOR UPDATE SKIP LOCKED",
                (before, limit),
            )
            ids = [row[0] for row in found]
            if ids:
                onces.prune(self._connections, connection, ids)
                targets = fetch(connection, "SELECT id FROM bridge.targets WHERE event_id = ANY(%s)", (ids,))
                take_back("event", ids)
                take_back("target", [str(target_id) for (target_id,) in targets])
                execute(connection, "DELETE FROM bridge.targets WHERE event_id = ANY(%s)", (ids,))
                execute(
                    connection,
                    "WITH pruned AS (DELETE FROM bridge.events WHERE id = ANY(%s) RETURNING status)"
                    " INSERT INTO bridge.finished_events (status, number)"
                    " SELECT status, -count(*) FROM pruned GROUP BY status",
                    (ids,),
                )
            tasks = fetch(
                connection,
                "SELECT id, workflow_id FROM bridge.tasks WHERE settled_at < %s ORDER BY settled_at LIMIT %s"
                " FOR UPDATE SKIP LOCKED",
                (before, limit),
            )
            if tasks:
                take_back("task", [row[0] for row in tasks])
                take_back("workflow", [row[1] for row in tasks])
                execute(connection, "DELETE FROM bridge.tasks WHERE id = ANY(%s)", ([row[0] for row in tasks],))
                execute(
                    connection,
                    "DELETE FROM bridge.workflows WHERE id = ANY(%s)",
                    (sorted({row[1] for row in tasks}),),
                )
            quarantine.prune(self._connections, connection, before, limit)
            execute(connection, "DELETE FROM bridge.delivery_counts WHERE hour < %s", (before,))
        return len(ids)
