"""Who holds the key of a start that is to be one with others."""

from __future__ import annotations

from collections.abc import Sequence

from store import rows
from store.postgres.connections import Connection, Connections
from store.protocols import OnceKeys
from store.records import OnceHolder, Target


class PostgresOnceKeys(OnceKeys):
    """Once keys on PostgreSQL."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def holder(self, key: str) -> OnceHolder | None:
        found = self._connections.read(
            "SELECT o.target_id, t.state, coalesce(t.workflow_id, o.workflow_id)"
            " FROM bridge.onces o LEFT JOIN bridge.targets t ON t.id = o.target_id WHERE o.key = %s",
            (key,),
        )
        return OnceHolder(*found[0]) if found else None

    def take(self, key: str, holder: OnceHolder | None, target_id: int) -> bool:
        with self._connections.transaction() as connection:
            if holder is None:
                sql = "INSERT INTO bridge.onces (key, target_id) VALUES (%s, %s) ON CONFLICT (key) DO NOTHING"
                return connection.write(sql, (key, target_id)) == 1
            return (
                connection.write(
                    "UPDATE bridge.onces SET target_id = %s, workflow_id = NULL"
                    " WHERE key = %s AND target_id IS NOT DISTINCT FROM %s",
                    (target_id, key, holder.target_id),
                )
                == 1
            )

    def pruned(self, after: str, limit: int) -> list[tuple[str, str]]:
        found = self._connections.read(
            "SELECT key, workflow_id FROM bridge.onces WHERE target_id IS NULL AND key > %s ORDER BY key LIMIT %s",
            (after, limit),
        )
        return [(key, workflow_id) for key, workflow_id in found]

    def forget(self, keys: Sequence[str]) -> None:
        for step in rows.steps(keys):
            with self._connections.transaction() as connection:
                connection.write(
                    "DELETE FROM bridge.onces WHERE key = ANY(%s) AND target_id IS NULL",
                    (sorted(step),),
                )


def take_free(connection: Connection, targets: Sequence[Target]) -> None:
    """Makes each target the holder of its key, if it has one that nobody holds: the first one of several."""
    keys: dict[str, int] = {}
    for target in targets:
        if target.once_key is not None:
            keys.setdefault(target.once_key, target.id)
    if keys:
        ordered = sorted(keys)
        connection.write(
            "INSERT INTO bridge.onces (key, target_id) SELECT * FROM unnest(%b::text[], %b::bigint[])"
            " ON CONFLICT (key) DO NOTHING",
            (ordered, [keys[key] for key in ordered]),
        )


def prune(connection: Connection, target_ids: Sequence[int]) -> None:
    """Lets these targets go, before they are deleted: of one whose workflow may run, that stays."""
    those = "t.id = ANY(%s) AND t.once_key IS NOT NULL AND o.target_id = t.id"
    connection.write(
        "UPDATE bridge.onces o SET target_id = NULL, workflow_id = t.workflow_id FROM bridge.targets t"
        f" WHERE {those} AND t.workflow_id IS NOT NULL AND t.once_while = 'running'",
        (target_ids,),
    )
    connection.write(f"DELETE FROM bridge.onces o USING bridge.targets t WHERE {those}", (target_ids,))
