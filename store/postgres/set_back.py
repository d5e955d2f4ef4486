"""What a clock that was set back left in the future, as far as work waits for it."""

from __future__ import annotations

from store import rows
from store.postgres.connections import Connections

_NEWEST = (
    "SELECT greatest((SELECT received_at FROM bridge.events ORDER BY seq DESC LIMIT 1),"
    " (SELECT created_at FROM bridge.targets ORDER BY id DESC LIMIT 1), 0)"
)
_MENDED = 1000
_MEND = (
    "UPDATE bridge.targets SET due_at = %(soon)s WHERE id IN (SELECT id FROM bridge.targets"
    " WHERE state = 'pending' AND due_at > %(soon)s ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)",
    "UPDATE bridge.targets SET claimed_at = %(now)s WHERE id IN (SELECT id FROM bridge.targets"
    " WHERE state = 'claimed' AND claimed_at > %(now)s ORDER BY claimed_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)",
    "UPDATE bridge.paces SET next_at = %(now)s WHERE next_at > %(soon)s",
    "UPDATE bridge.quarantine q SET due_at = %(soon)s FROM (SELECT kind, id FROM bridge.quarantine"
    " WHERE due_at > %(soon)s ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED) late"
    " WHERE q.kind = late.kind AND q.id = late.id",
)


def mend(connections: Connections, now: int) -> None:
    """If what came last is from the future, what waits for long is due soon; some of it at a time."""
    newest = connections.read(_NEWEST)[0][0]
    if newest > now + rows.FROM_THE_FUTURE:
        values = {"now": now, "soon": now + rows.SOON, "most": _MENDED}
        for statement in _MEND:
            with connections.transaction() as connection:
                connection.write(statement, values)
