"""When calls of each kind last took effect."""

from __future__ import annotations

from store.records import TargetKind
from store.rules.outages import Effects, after_effect
from store.sql.database import Part

_OF_KIND = "SELECT since, last FROM bridge.effects WHERE kind = %s"
_SET = """
INSERT INTO bridge.effects (kind, since, last) VALUES (%s, %s, %s)
ON CONFLICT (kind) DO UPDATE SET since = excluded.since, last = excluded.last
"""


class EffectsOfCalls(Part):
    """When calls of each kind last took effect. One row per kind."""

    def note(self, kind: TargetKind, now: int) -> None:
        """Records that a call of this kind took effect. Once a minute is enough."""
        with self._database.transaction() as transaction:
            found = transaction.fetch(f"{_OF_KIND} FOR UPDATE", (kind,))
            after = after_effect(Effects(*found[0]) if found else None, now)
            transaction.write(_SET, (kind, after.since, after.last))

    def of_kind(self, kind: TargetKind) -> Effects | None:
        """Since when calls of this kind have taken effect without a break; None if none was recorded."""
        found = self._database.read(_OF_KIND, (kind,))
        return Effects(*found[0]) if found else None
