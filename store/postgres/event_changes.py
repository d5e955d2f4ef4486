"""Reads and writes what becomes of events after their targets end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from store.postgres.connections import Connection, Statement
from store.records import Hold, TargetKind, TargetState
from store.rows import ASIDE_UNDECIDED, STATES
from store.sql.holds import hold_of, number_of
from store.transitions import EventChange

_STATES_OF = f"""
SELECT event_id, kind, state FROM unnest(%s::text[]) AS asked (event_id)
CROSS JOIN (VALUES {", ".join(map(str, STATES))}) AS possible (kind, state) CROSS JOIN LATERAL (
    SELECT 1 FROM bridge.targets t
    WHERE t.event_id = asked.event_id AND t.kind = possible.kind AND t.state = possible.state LIMIT 1
) found
"""
States = set[tuple[TargetKind, TargetState]]


def lock_events(connection: Connection, event_ids: Sequence[str]) -> dict[str, Hold]:
    """id → hold, of the existing ones. Until this transaction ends, no other changes them or ends their targets.

    If two workers record an event's last two results, the second must see what the first wrote.
    """
    if not event_ids:
        return {}
    sql = "SELECT id, held FROM bridge.events WHERE id = ANY(%s) ORDER BY seq FOR UPDATE"
    return {event_id: hold_of(held) or "no" for event_id, held in connection.fetch(sql, (sorted(event_ids),))}


def states_of(connection: Connection, event_ids: Sequence[str]) -> dict[str, States]:
    """id → kinds and states of its targets, for each of these events, which must be locked."""
    states: dict[str, States] = {event_id: set() for event_id in event_ids}
    if states:
        for event_id, kind, state in connection.fetch(_STATES_OF, (list(states),)):
            states[event_id].add((kind, state))
    return states


def change_events(connection: Connection, changes: Mapping[str, EventChange]) -> None:
    """Writes what becomes of the events. They must be locked if that was derived from the database."""
    if changes:
        connection.write(*changing_events(changes))


def changing_events(changes: Mapping[str, EventChange], decided_at: int | None = None) -> Statement:
    """The statement for that. `decided_at` applies to events that weren't decided before."""
    sql = (
        "WITH before AS (SELECT seq, id, status FROM bridge.events WHERE id = ANY(%s) ORDER BY seq FOR UPDATE),"
        " changed AS ("
        "UPDATE bridge.events e SET status = c.status, held = c.held, settled_at = c.settled_at,"
        f" decided_at = coalesce(nullif(e.decided_at, {ASIDE_UNDECIDED}), %s)"
        " FROM unnest(%b::text[], %b::text[], %b::smallint[], %b::bigint[]) AS c (id, status, held, settled_at)"
        " JOIN before ON before.id = c.id"
        " WHERE e.seq = before.seq RETURNING before.status AS before, e.status AS after"
        ") INSERT INTO bridge.finished_events (status, number)"
        " SELECT status, sum(number) FROM"
        " (SELECT before, -1 FROM changed UNION ALL SELECT after, 1 FROM changed) AS counted (status, number)"
        " WHERE status != 'pending' GROUP BY status HAVING sum(number) != 0"
    )
    values = (
        list(changes),
        decided_at,
        list(changes),
        [change.status for change in changes.values()],
        [number_of(change.hold) for change in changes.values()],
        [change.settled_at for change in changes.values()],
    )
    return sql, values
