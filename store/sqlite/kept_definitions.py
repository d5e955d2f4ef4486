"""The last good definitions."""

from __future__ import annotations

from collections.abc import Mapping

from store.protocols import KeptDefinitions
from store.sqlite.connections import Connections

_KEPT = "SELECT file, text FROM kept_definitions"


class SqliteKeptDefinitions(KeptDefinitions):
    """The kept definitions on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def all(self) -> dict[str, str]:
        return dict(self._connections.read(_KEPT))

    def keep(self, kept: Mapping[str, str]) -> None:
        if self.all() == kept:
            return
        with self._connections.transaction() as db:
            before = dict(db.execute(_KEPT).fetchall())
            for file in before.keys() - kept.keys():
                db.execute("DELETE FROM kept_definitions WHERE file = ?", (file,))
            for file, text in kept.items():
                if before.get(file) != text:
                    db.execute(
                        "INSERT INTO kept_definitions (file, text) VALUES (?, ?)"
                        " ON CONFLICT (file) DO UPDATE SET text = excluded.text",
                        (file, text),
                    )
