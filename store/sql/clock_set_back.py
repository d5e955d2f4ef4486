"""After the store's clock was set back: items that wait for a time that is now far ahead."""

from __future__ import annotations

from store.errors import StoreUnavailable
from store.sql import rows
from store.sql.database import Database, Rows

# Not max(): the index gives the last row directly.
_NEWEST = """
SELECT at FROM (SELECT received_at AS at FROM bridge.events ORDER BY seq DESC LIMIT 1) AS event
UNION ALL SELECT at FROM (SELECT created_at AS at FROM bridge.targets ORDER BY id DESC LIMIT 1) AS target
"""
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
    """If the newest event or target is from the future, makes items that would wait too long due soon, some at a time.

    Another worker's claim must never look older than it is, however long this process stalls between two lines, or its
    target would be called twice. So the clock is read after the rows that it is compared with, and a change that came
    too late is rolled back. In that case, too, raises StoreUnavailable.
    """
    if not _is_behind(database.read(_NEWEST), database.now()):
        return
    for statement in _MAKE_DUE:
        with database.transaction() as transaction:
            # Again: before the transaction began, this machine's clock may have been the one that is wrong.
            newest, now = transaction.fetch(_NEWEST), database.now()
            if not _is_behind(newest, now):
                return
            times = {"now": now, "soon": now + rows.SOON, "future": now + rows.FROM_THE_FUTURE}
            transaction.write(statement, {**times, "most": _CHANGED})
            if database.now() - now > rows.FROM_THE_FUTURE:
                raise StoreUnavailable("the store took too long to change items that wait for a time that is far ahead")


def _is_behind(newest: Rows, now: int) -> bool:
    """Whether the time, which was read after these rows, is behind them."""
    return any(at > now + rows.FROM_THE_FUTURE for (at,) in newest)
