"""What the admin page and the command line store: sessions, hidden paths, changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from store.records import Change
from store.sql.database import Part
from store.sql.facts import secret_fact

CHANGES_KEPT = 10_000


class Sessions(Part):
    """People's admin page sessions, shared by all of its processes.

    What is stored are those that ended before their cookies expire.
    """

    def key(self) -> bytes:
        """This store's random bytes, generated once, which sign the session cookies."""
        return secret_fact(self._database, "session_key")

    def end(self, session_id: str, until: int, now: int) -> None:
        """Records that the person has logged out, until that time, when the cookie expires anyway."""
        with self._database.transaction() as transaction:
            transaction.write("DELETE FROM bridge.sessions_over WHERE until < %s", (now,))
            transaction.write(
                "INSERT INTO bridge.sessions_over (id, until) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (session_id, until),
            )

    def is_over(self, session_id: str) -> bool:
        """Whether the person has logged out."""
        return bool(self._database.read("SELECT 1 FROM bridge.sessions_over WHERE id = %s", (session_id,)))


class HiddenPaths(Part):
    """Each webhook's last `hide`, so that values stay hidden when its definition is gone or broken.

    A row has a JSON list.
    """

    def keep(self, paths: Mapping[str, Sequence[str]]) -> None:
        """Replaces the JSONPaths remembered for these webhooks; an empty list is remembered too."""
        with self._database.transaction() as transaction:
            # Always in the same order, so that processes waiting for each other's rows can't deadlock.
            for webhook, of_webhook in sorted(paths.items()):
                transaction.write(
                    "INSERT INTO bridge.hidden_paths (webhook, paths) VALUES (%s, %s)"
                    " ON CONFLICT (webhook) DO UPDATE SET paths = excluded.paths",
                    (webhook, json.dumps(list(of_webhook))),
                )

    def all(self) -> dict[str, tuple[str, ...]]:
        """webhook → JSONPaths, of every webhook that was ever defined."""
        found = self._database.read("SELECT webhook, paths FROM bridge.hidden_paths")
        return {webhook: tuple(json.loads(paths)) for webhook, paths in found}


class Changes(Part):
    """People's changes."""

    def record(self, change: Change) -> None:
        """Records a change; the newest 10,000 are kept."""
        with self._database.transaction() as transaction:
            transaction.write(
                "INSERT INTO bridge.changes (at, who, what, webhook, detail) VALUES (%s, %s, %s, %s, %s)",
                (change.at, change.who, change.what, change.webhook, change.detail),
            )
            transaction.write(
                "DELETE FROM bridge.changes WHERE id <= (SELECT max(id) FROM bridge.changes) - %s", (CHANGES_KEPT,)
            )

    def newest(self, webhook: str | None = None, limit: int = 50) -> list[Change]:
        """People's changes, newest first."""
        only = "WHERE webhook = %s" if webhook is not None else ""
        sql = f"SELECT at, who, what, webhook, detail FROM bridge.changes {only} ORDER BY id DESC LIMIT %s"
        return [Change(*row) for row in self._database.read(sql, (*([webhook] if only else []), limit))]
