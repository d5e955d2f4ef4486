"""Items that failed alone, and are retried later."""

from __future__ import annotations

from collections.abc import Sequence

from store import rows
from store.postgres.connections import Connection, Connections
from store.records import SetAside, SetAsideKind
from store.sql.holds import ASIDE, MAY_BE_SET_ASIDE, RECHECK, SET_ASIDE
from store.sql.quarantine import SqlQuarantine

_SET_ASIDE = f"""
INSERT INTO bridge.quarantine AS q ({rows.SET_ASIDE})
SELECT * FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[])
ON CONFLICT (kind, id) DO UPDATE SET webhook = excluded.webhook, reason = excluded.reason,
    since = least(q.since, excluded.since), tries = excluded.tries, due_at = excluded.due_at
"""
_TAKE_BACK = """
WITH taken AS (
    SELECT id FROM bridge.quarantine WHERE kind = %s AND id = ANY(%s) ORDER BY kind, id FOR UPDATE
) DELETE FROM bridge.quarantine q USING taken WHERE q.kind = %s AND q.id = taken.id
"""
"""In the order in which `set_aside` locks, so that two workers can't deadlock."""

_LOCKED = "WITH found AS (SELECT seq FROM bridge.events WHERE id = ANY(%s) ORDER BY seq FOR UPDATE)"
_EVENTS_ASIDE = (
    f"{_LOCKED} UPDATE bridge.events e SET decided_at = coalesce(e.decided_at, {rows.ASIDE_UNDECIDED}),"
    f" held = CASE WHEN e.held IN {MAY_BE_SET_ASIDE} THEN e.held + {ASIDE} ELSE e.held END"
    " FROM found WHERE e.seq = found.seq"
)
_EVENTS_AGAIN = (
    f"{_LOCKED} UPDATE bridge.events e SET decided_at = nullif(e.decided_at, {rows.ASIDE_UNDECIDED}),"
    f" held = CASE WHEN e.held IN {SET_ASIDE} THEN {RECHECK}"
    " ELSE e.held END FROM found WHERE e.seq = found.seq"
)
"""What was held before is then free: the leader holds it again only once the agenda has it."""

_PRUNE_ENDED = """
WITH first AS MATERIALIZED (
    SELECT kind, id FROM bridge.quarantine WHERE kind = 'target' AND id ~ '^[0-9]{1,18}$'
    ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED
) DELETE FROM bridge.quarantine q USING first WHERE q.kind = first.kind AND q.id = first.id AND NOT EXISTS (
    SELECT 1 FROM bridge.targets t WHERE t.id = first.id::bigint AND t.state IN ('pending', 'claimed')
)
"""


class PostgresQuarantine(SqlQuarantine):
    """The quarantine on PostgreSQL."""

    def __init__(self, connections: Connections):
        super().__init__(connections)
        self._connections = connections

    def set_aside(self, items: Sequence[SetAside]) -> None:
        if items:
            columns = [list(column) for column in zip(*rows.set_aside_rows(items), strict=True)]
            events = [item.id for item in items if item.kind == "event"]
            with self._connections.transaction() as connection:
                if events:
                    connection.write(_EVENTS_ASIDE, (events,))
                connection.write(_SET_ASIDE, columns)

    def take_back(self, kind: SetAsideKind, ids: Sequence[str]) -> None:
        if ids:
            with self._connections.transaction() as connection:
                if kind == "event":
                    connection.write(_EVENTS_AGAIN, (list(ids),))
                take_back(connection, kind, ids)


def take_back(connection: Connection, kind: SetAsideKind, ids: Sequence[str]) -> None:
    """Deletes items of this kind with one of these ids."""
    connection.write(_TAKE_BACK, (kind, list(ids), kind))


def prune(connection: Connection, before: int, limit: int) -> None:
    """Deletes up to `limit` items that were due before that time and that nobody has retried since: there is nothing to
    retry.

    Of targets, deletes only those that have ended: another worker may not have known that one was set aside. Events are
    deleted along with their rows: as long as one is left out of the agenda, it must be found here.
    """
    connection.write(_PRUNE_ENDED, (limit,))
    connection.write(
        "WITH old AS (SELECT kind, id FROM bridge.quarantine WHERE due_at < %s AND kind != 'event'"
        " ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)"
        " DELETE FROM bridge.quarantine q USING old WHERE q.kind = old.kind AND q.id = old.id",
        (before, limit),
    )
