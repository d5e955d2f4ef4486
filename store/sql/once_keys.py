"""Which start holds a once key."""

from __future__ import annotations

from collections.abc import Sequence

from store.records import OnceHolder, Target
from store.sql import rows
from store.sql.database import Part, Transaction

_HOLDER = """
SELECT o.target_id, t.state, coalesce(t.workflow_id, o.workflow_id)
FROM bridge.onces o LEFT JOIN bridge.targets t ON t.id = o.target_id WHERE o.key = %s
"""
_INTO = "bridge.onces (key, target_id)"
_IF_FREE = "ON CONFLICT (key) DO NOTHING"
_TAKE = """
UPDATE bridge.onces SET target_id = %s, workflow_id = NULL
WHERE key = %s AND coalesce(target_id, 0) = %s AND coalesce(workflow_id, '') = %s
"""
_PRUNED = "SELECT key, workflow_id FROM bridge.onces WHERE target_id IS NULL AND key > %s ORDER BY key LIMIT %s"
_FORGET = "DELETE FROM bridge.onces WHERE key = %s AND target_id IS NULL AND workflow_id = %s"
_MAY_RUN = """
UPDATE bridge.onces SET target_id = NULL, workflow_id = (
    SELECT t.workflow_id FROM bridge.targets t WHERE t.id = onces.target_id
) WHERE target_id = ANY(%s) AND EXISTS (
    SELECT 1 FROM bridge.targets t
    WHERE t.id = onces.target_id AND t.workflow_id IS NOT NULL AND t.once_while = 'running'
)
"""


class OnceKeys(Part):
    """Which start holds a once key (`store.rules.once`). One row per held key."""

    def holder(self, key: str) -> OnceHolder | None:
        """The start that holds the key; None if none does."""
        found = self._database.read(_HOLDER, (key,))
        return OnceHolder(*found[0]) if found else None

    def take(self, key: str, holder: OnceHolder | None, target_id: int) -> bool:
        """Makes the target the key's holder; False if `holder`, as previously read, is no longer the holder."""
        with self._database.transaction() as transaction:
            if holder is None:
                return bool(transaction.insert(_INTO, [(key, target_id)], f"{_IF_FREE} RETURNING 1"))
            pruned = holder.workflow_id if holder.target_id is None else None
            return transaction.write(_TAKE, (target_id, key, holder.target_id or 0, pruned or "")) == 1

    def pruned(self, after: str, limit: int) -> list[tuple[str, str]]:
        """(key, workflow id) of pruned holders whose workflow may still run, in order of key."""
        return [(key, workflow_id) for key, workflow_id in self._database.read(_PRUNED, (after, limit))]

    def forget(self, pruned: Sequence[tuple[str, str]]) -> None:
        """Deletes these pruned holders, given as `pruned` returned them, since their workflows have ended. A key that
        has changed hands meanwhile keeps its new holder."""
        for step in rows.steps(pruned):
            with self._database.transaction() as transaction:
                transaction.fetch_together([(_FORGET, values) for values in sorted(step)])


def take_free(transaction: Transaction, targets: Sequence[Target]) -> None:
    """Makes each target the holder of its key, if the key is free; of several targets, the first."""
    keys: dict[str, int] = {}
    for target in targets:
        if target.once_key is not None:
            keys.setdefault(target.once_key, target.id)
    transaction.insert(_INTO, sorted(keys.items()), _IF_FREE)


def prune(transaction: Transaction, target_ids: Sequence[int]) -> None:
    """Detaches these targets before they are deleted; if a target's workflow may still run, its id is kept."""
    transaction.write(_MAY_RUN, (list(target_ids),))
    transaction.write("DELETE FROM bridge.onces WHERE target_id = ANY(%s)", (list(target_ids),))
