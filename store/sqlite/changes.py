"""What people did."""

from __future__ import annotations

from store.protocols import Changes
from store.records import Change
from store.sqlite.connections import Connections

CHANGES_KEPT = 10_000


class SqliteChanges(Changes):
    """Changes on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def record(self, change: Change) -> None:
        with self._connections.transaction() as db:
            db.execute(
                "INSERT INTO changes (at, who, what, webhook, detail) VALUES (?, ?, ?, ?, ?)",
                (change.at, change.who, change.what, change.webhook, change.detail),
            )
            db.execute("DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - ?", (CHANGES_KEPT,))

    def newest(self, webhook: str | None = None, limit: int = 50) -> list[Change]:
        only = "WHERE webhook = ?" if webhook is not None else ""
        sql = f"SELECT at, who, what, webhook, detail FROM changes {only} ORDER BY id DESC LIMIT ?"
        return [Change(*row) for row in self._connections.read(sql, [*([webhook] if only else []), limit])]
