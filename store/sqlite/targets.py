"""A new target of an event."""

from __future__ import annotations

from store.records import NewTarget, Target
from store.rows import NEW_TARGET, new_target_row
from store.sql.once_keys import TAKE_FREE
from store.sqlite import rows
from store.sqlite.connections import Connection
from store.sqlite.parts import marks


def insert_target(
    db: Connection, event_id: str, new: NewTarget, claimed_by: str | None, now: int, or_ignore: bool = False
) -> Target | None:
    """Inserts the target, claimed if a worker is given. With `or_ignore`, returns None if another event has taken its
    task.

    Otherwise raises sqlite3.IntegrityError in that case.
    """
    values = new_target_row(event_id, new, claimed_by, now)
    row = db.execute(
        f"INSERT {'OR IGNORE ' if or_ignore else ''}INTO targets ({NEW_TARGET}, webhook) VALUES ({marks(values)},"
        f" (SELECT webhook FROM events WHERE id = ?)) RETURNING {rows.TARGET}",
        (*values, event_id),
    ).fetchone()
    if row is None:
        return None
    target = rows.target(row)
    if target.once_key is not None:
        db.write(TAKE_FREE, (target.once_key, target.id))
    return target
