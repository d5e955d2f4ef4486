"""What must stay hidden, of webhooks whose definition is gone too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from store.protocols import HiddenPaths
from store.sqlite.connections import Connections


class SqliteHiddenPaths(HiddenPaths):
    """Hidden paths on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def keep(self, paths: Mapping[str, Sequence[str]]) -> None:
        with self._connections.transaction() as db:
            db.executemany(
                "INSERT INTO hidden_paths (webhook, paths) VALUES (?, ?)"
                " ON CONFLICT (webhook) DO UPDATE SET paths = excluded.paths",
                [(webhook, json.dumps(list(of_webhook))) for webhook, of_webhook in paths.items()],
            )

    def all(self) -> dict[str, tuple[str, ...]]:
        found = self._connections.read("SELECT webhook, paths FROM hidden_paths")
        return {webhook: tuple(json.loads(paths)) for webhook, paths in found}
