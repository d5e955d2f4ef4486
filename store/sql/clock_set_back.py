"""After the store's clock was set back: items that wait for a time that is now far ahead."""

from __future__ import annotations

from store.errors import StoreUnavailable
from store.sql import rows
from store.sql.database import Database, Rows

_BEFORE = ", ".join(f"({number})" for number in (0, *(4**power for power in range(13))))


def _times(column: str, table: str, number: str) -> str:
    # Not max(): the index gives the last row directly.
    newest = f"SELECT n.{number} FROM {table} n ORDER BY n.{number} DESC LIMIT 1"
    one = f"SELECT r.{column} FROM {table} r WHERE r.{number} <= ({newest}) - before ORDER BY r.{number} DESC LIMIT 1"
    return f"SELECT ({one}) FROM asked"


_TIMES = f"""
WITH asked (before) AS (VALUES {_BEFORE})
{_times("received_at", "bridge.events", "seq")} UNION ALL {_times("created_at", "bridge.targets", "id")}
"""
"""When the newest event arrived and the newest target was written, and some before them, ever further back: what came
after the clock was set back has times of now, and on a busy store that is a good deal within a second."""
_CHANGED = 1000
"""Rows changed per transaction."""
_MAKE_DUE = (
    "UPDATE bridge.targets SET due_at = %(soon)s WHERE id IN (SELECT id FROM bridge.targets"
    " WHERE state = 'pending' AND due_at > %(soon)s ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)",
    "UPDATE bridge.targets SET claimed_at = %(now)s WHERE id IN (SELECT id FROM bridge.targets"
    " WHERE state = 'claimed' AND claimed_at > %(future)s ORDER BY claimed_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)",
    "UPDATE bridge.paces SET next_at = %(now)s WHERE next_at > %(soon)s",
    "UPDATE bridge.quarantine SET due_at = %(soon)s WHERE (kind, id) IN (SELECT kind, id FROM bridge.quarantine"
    " WHERE due_at > %(soon)s ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)",
)


def make_due(database: Database) -> None:
    """If an event or target is from the future, makes items that would wait too long due soon, some at a time.

    Another worker's claim must never look older than it is, however long this process stalls between two lines, or its
    target would be called twice. So the clock is read after the rows that it is compared with, and a change that came
    too late is rolled back. In that case, too, raises StoreUnavailable.
    """
    if not _is_behind(database.read(_TIMES), database.now()):
        return
    for statement in _MAKE_DUE:
        with database.transaction() as transaction:
            # Again: before the transaction began, this machine's clock may have been the one that is wrong.
            times, now = transaction.fetch(_TIMES), database.now()
            if not _is_behind(times, now):
                return
            values = {"now": now, "soon": now + rows.SOON, "future": now + rows.FROM_THE_FUTURE, "most": _CHANGED}
            transaction.write(statement, values)
            if database.now() - now > rows.FROM_THE_FUTURE:
                raise StoreUnavailable("the store took too long to change items that wait for a time that is far ahead")


def _is_behind(times: Rows, now: int) -> bool:
    """Whether the time, which was read after these rows, is behind one of them."""
    return any(at is not None and at > now + rows.FROM_THE_FUTURE for (at,) in times)
