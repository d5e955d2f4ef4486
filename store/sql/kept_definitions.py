"""The last good definitions."""

from __future__ import annotations

from collections.abc import Mapping

from store.sql.database import Part

_KEPT = "SELECT file, text FROM bridge.kept_definitions"
_KEEP = """
INSERT INTO bridge.kept_definitions (file, text) VALUES (%s, %s)
ON CONFLICT (file) DO UPDATE SET text = excluded.text
"""


class KeptDefinitions(Part):
    """The last good definitions, for a process that starts while their files are broken. They hold no secrets.

    One row per file.
    """

    def all(self) -> dict[str, str]:
        """file name → what `config.last_good` keeps of it."""
        return dict(self._database.read(_KEPT))

    def keep(self, kept: Mapping[str, str]) -> None:
        """Replaces all of them; only what differs is written."""
        if self.all() == kept:
            return
        with self._database.transaction() as transaction:
            before: dict[str, str] = dict(transaction.fetch(_KEPT))
            # Always in the same order, so that processes waiting for each other's rows can't deadlock.
            for file in sorted(before.keys() | kept.keys()):
                if file not in kept:
                    transaction.write("DELETE FROM bridge.kept_definitions WHERE file = %s", (file,))
                elif before.get(file) != kept[file]:
                    transaction.write(_KEEP, (file, kept[file]))
