"""What several statements need of an event's row, besides what all stores share."""

from __future__ import annotations

from store.records import Hold, TargetKind, TargetState
from store.rows import EVENT as EVENT
from store.rows import LISTED_EVENT as LISTED_EVENT
from store.rows import REJECTION as REJECTION
from store.rows import STATES
from store.rows import TARGET as TARGET
from store.rows import TASK as TASK
from store.rows import event as event
from store.rows import rejection as rejection
from store.rows import target as target
from store.rows import task as task
from store.sql.holds import hold_of, number_of
from store.sqlite.connections import Connection
from store.transitions import EventChange

_STATES_OF = (
    f"WITH possible (kind, state) AS (VALUES {', '.join(map(str, STATES))}) SELECT kind, state FROM possible"
    " WHERE EXISTS (SELECT 1 FROM targets t"
    " WHERE t.event_id = ? AND t.kind = possible.kind AND t.state = possible.state)"
)


def hold(db: Connection, event_id: str) -> Hold | None:
    """The event's hold; None if there is no such event."""
    found = db.execute("SELECT held FROM events WHERE id = ?", (event_id,)).fetchone()
    return (hold_of(found[0]) or "no") if found else None


def states(db: Connection, event_id: str) -> set[tuple[TargetKind, TargetState]]:
    """The kinds and states of the event's targets."""
    return set(db.execute(_STATES_OF, (event_id,)).fetchall())


def change_event(db: Connection, event_id: str, change: EventChange) -> None:
    """Writes what becomes of the event."""
    db.execute(
        "UPDATE events SET status = ?, held = ?, settled_at = ? WHERE id = ?",
        (change.status, number_of(change.hold), change.settled_at, event_id),
    )
