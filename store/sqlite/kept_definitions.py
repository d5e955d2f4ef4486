"""The last good definitions."""

from __future__ import annotations

from collections.abc import Mapping

from store.sqlite.connections import Connections

_KEPT = "SELECT file, text FROM kept_definitions"


class KeptDefinitions:
    """Implements `store.protocols.KeptDefinitions`."""

    _connections: Connections

    def kept_definitions(self) -> dict[str, str]:
        return dict(self._connections.read(_KEPT))

    def keep_definitions(self, kept: Mapping[str, str]) -> None:
        if self.kept_definitions() == kept:
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
