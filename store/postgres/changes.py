"""What people did."""

from __future__ import annotations

from store.postgres.connections import Connections
from store.protocols import Changes
from store.records import Change

CHANGES_KEPT = 10_000


class PostgresChanges(Changes):
    """Changes on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def record(self, change: Change) -> None:
        with self._connections.transaction() as connection:
            connection.write(
                "INSERT INTO bridge.changes (at, who, what, webhook, detail) VALUES (%s, %s, %s, %s, %s)",
                (change.at, change.who, change.what, change.webhook, change.detail),
            )
            connection.write(
                "DELETE FROM bridge.changes WHERE id <= (SELECT max(id) FROM bridge.changes) - %s",
                (CHANGES_KEPT,),
            )

    def newest(self, webhook: str | None = None, limit: int = 50) -> list[Change]:
        only = "WHERE webhook = %s" if webhook is not None else ""
        sql = f"SELECT at, who, what, webhook, detail FROM bridge.changes {only} ORDER BY id DESC LIMIT %s"
        return [Change(*row) for row in self._connections.read(sql, [*([webhook] if only else []), limit])]
