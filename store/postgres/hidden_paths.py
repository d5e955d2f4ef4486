"""What must stay hidden, of webhooks whose definition is gone too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from store.postgres.connections import Connections
from store.protocols import HiddenPaths


class PostgresHiddenPaths(HiddenPaths):
    """Hidden paths on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def keep(self, paths: Mapping[str, Sequence[str]]) -> None:
        with self._connections.transaction() as connection:
            # In one order everywhere: processes that wait for each other's rows must not do so in a circle.
            for webhook, of_webhook in sorted(paths.items()):
                connection.write(
                    "INSERT INTO bridge.hidden_paths (webhook, paths) VALUES (%s, %s)"
                    " ON CONFLICT (webhook) DO UPDATE SET paths = excluded.paths",
                    (webhook, json.dumps(list(of_webhook))),
                )

    def all(self) -> dict[str, tuple[str, ...]]:
        found = self._connections.read("SELECT webhook, paths FROM bridge.hidden_paths")
        return {webhook: tuple(json.loads(paths)) for webhook, paths in found}
