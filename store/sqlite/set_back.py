"""What a clock that was set back left in the future, as far as work waits for it."""

from __future__ import annotations

from store import rows
from store.sqlite.connections import Connections

_NEWEST = (
    "SELECT max(coalesce((SELECT received_at FROM events WHERE seq = (SELECT max(seq) FROM events)), 0),"
    " coalesce((SELECT created_at FROM targets WHERE id = (SELECT max(id) FROM targets)), 0))"
)
_MENDED = 1000
_MEND = (
    "UPDATE targets SET due_at = :soon WHERE id IN"
    " (SELECT id FROM targets WHERE state = 'pending' AND due_at > :soon ORDER BY due_at LIMIT :most)",
    "UPDATE targets SET claimed_at = :now WHERE id IN"
    " (SELECT id FROM targets WHERE state = 'claimed' AND claimed_at > :now ORDER BY claimed_at LIMIT :most)",
    "UPDATE paces SET next_at = :now WHERE next_at > :soon",
    "UPDATE quarantine SET due_at = :soon WHERE (kind, id) IN"
    " (SELECT kind, id FROM quarantine WHERE due_at > :soon ORDER BY due_at LIMIT :most)",
)


def mend(connections: Connections, now: int) -> None:
    """If what came last is from the future, what waits for long is due soon; some of it at a time."""
    [(newest,)] = connections.read(_NEWEST)
    if newest > now + rows.FROM_THE_FUTURE:
        values = {"now": now, "soon": now + rows.SOON, "most": _MENDED}
        with connections.transaction() as db:
            for statement in _MEND:
                used = {name: value for name, value in values.items() if f":{name}" in statement}
                db.execute(statement, used)
