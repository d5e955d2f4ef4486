"""What the admin page and the command line store: sessions, hidden paths, changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from store.protocols import Changes, HiddenPaths, Sessions
from store.records import Change
from store.sql.database import Database
from store.sql.facts import secret_fact

CHANGES_KEPT = 10_000


class SqlSessions(Sessions):
    """Sessions that ended before their cookies expire."""

    def __init__(self, database: Database):
        self._database = database

    def key(self) -> bytes:
        return secret_fact(self._database, "session_key")

    def end(self, session_id: str, until: int, now: int) -> None:
        with self._database.transaction() as transaction:
            transaction.write("DELETE FROM bridge.sessions_over WHERE until < %s", (now,))
            transaction.write(
                "INSERT INTO bridge.sessions_over (id, until) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (session_id, until),
            )

    def is_over(self, session_id: str) -> bool:
        return bool(self._database.read("SELECT 1 FROM bridge.sessions_over WHERE id = %s", (session_id,)))


class SqlHiddenPaths(HiddenPaths):
    """A JSON list for each webhook."""

    def __init__(self, database: Database):
        self._database = database

    def keep(self, paths: Mapping[str, Sequence[str]]) -> None:
        with self._database.transaction() as transaction:
            # Always in the same order, so that processes waiting for each other's rows can't deadlock.
            for webhook, of_webhook in sorted(paths.items()):
                transaction.write(
                    "INSERT INTO bridge.hidden_paths (webhook, paths) VALUES (%s, %s)"
                    " ON CONFLICT (webhook) DO UPDATE SET paths = excluded.paths",
                    (webhook, json.dumps(list(of_webhook))),
                )

    def all(self) -> dict[str, tuple[str, ...]]:
        found = self._database.read("SELECT webhook, paths FROM bridge.hidden_paths")
        return {webhook: tuple(json.loads(paths)) for webhook, paths in found}


class SqlChanges(Changes):
    """The newest changes."""

    def __init__(self, database: Database):
        self._database = database

    def record(self, change: Change) -> None:
        with self._database.transaction() as transaction:
            transaction.write(
                "INSERT INTO bridge.changes (at, who, what, webhook, detail) VALUES (%s, %s, %s, %s, %s)",
                (change.at, change.who, change.what, change.webhook, change.detail),
            )
            transaction.write(
                "DELETE FROM bridge.changes WHERE id <= (SELECT max(id) FROM bridge.changes) - %s", (CHANGES_KEPT,)
            )

    def newest(self, webhook: str | None = None, limit: int = 50) -> list[Change]:
        only = "WHERE webhook = %s" if webhook is not None else ""
        sql = f"SELECT at, who, what, webhook, detail FROM bridge.changes {only} ORDER BY id DESC LIMIT %s"
        return [Change(*row) for row in self._database.read(sql, (*([webhook] if only else []), limit))]
