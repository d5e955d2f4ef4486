"""Items that failed alone, and are retried later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store.records import SetAside, SetAsideKind
from store.sql import rows
from store.sql.database import Part, Transaction
from store.sql.rows import ARE_SET_ASIDE, ASIDE, MAY_BE_SET_ASIDE, RECHECK

_INTO = f"bridge.quarantine AS q ({rows.SET_ASIDE})"
_KEEP_SINCE = """
ON CONFLICT (kind, id) DO UPDATE SET webhook = excluded.webhook, reason = excluded.reason,
    since = CASE WHEN q.since < excluded.since THEN q.since ELSE excluded.since END,
    tries = excluded.tries, due_at = excluded.due_at
"""
_COUNTED = 10_000
"""Items that are counted, of each kind."""
_COUNTS = " UNION ALL ".join(
    f"SELECT '{kind}', count(*) FROM (SELECT 1 FROM bridge.quarantine WHERE kind = '{kind}' LIMIT"
    f" {_COUNTED}) AS q"
    for kind in rows.KINDS
)
_LOCK_EVENTS = "SELECT id FROM bridge.events WHERE id = ANY(%s) ORDER BY seq FOR UPDATE"
_THERE = "SELECT id FROM bridge.events WHERE id = ANY(%s)"
_EVENTS_ASIDE = (
    f"UPDATE bridge.events SET decided_at = coalesce(decided_at, {rows.ASIDE_UNDECIDED}), held ="
    f" CASE WHEN held IN {MAY_BE_SET_ASIDE} THEN held + {ASIDE} ELSE held END WHERE id = ANY(%s)"
)
_EVENTS_AGAIN = (
    f"UPDATE bridge.events SET decided_at = nullif(decided_at, {rows.ASIDE_UNDECIDED}),"
    f" held = CASE WHEN held IN {ARE_SET_ASIDE} THEN {RECHECK} ELSE held END WHERE id = ANY(%s)"
)
"""What was held before is then free: the leader holds it again only once the agenda has it."""
_LOCK = (
    "SELECT id FROM bridge.quarantine WHERE kind = %s AND id = ANY(%s) ORDER BY kind, id FOR UPDATE"
)
"""In the order in which `set_aside` locks, so that two workers can't deadlock."""
_TAKE_BACK = "DELETE FROM bridge.quarantine WHERE kind = %s AND id = ANY(%s)"
_FIRST_TARGETS = (
    "SELECT id FROM bridge.quarantine WHERE kind = 'target' ORDER BY due_at LIMIT %s FOR UPDATE"
    " SKIP LOCKED"
)
# A function of the state: PostgreSQL would look for some targets among all that are live.
_LIVE = (
    "SELECT id FROM bridge.targets WHERE id = ANY(%s) AND coalesce(state, '') IN ('pending',"
    " 'claimed')"
)
# Materialized: PostgreSQL may run a subquery in a join again, which then finds other rows than
# those locked before, and exceeds its limit.
_PRUNE = """
WITH pruned AS MATERIALIZED (
    SELECT kind, id FROM bridge.quarantine WHERE due_at < %s AND kind != 'event'
    ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED
)
DELETE FROM bridge.quarantine WHERE (kind, id) IN (SELECT kind, id FROM pruned)
"""


class Quarantine(Part):
    """Items that failed alone: set aside with the reason, and retried later. One row per item."""

    def set_aside(self, items: Sequence[SetAside]) -> set[str]:
        """Sets the items aside. One that is already set aside gets the new reason, tries and time,
        but keeps its `since`.

        A set-aside event is `pending`; neither `Decisions.agenda` nor `held` returns it, and
        skipping it costs them nothing. Only of an event that somebody has locked nothing is
        changed, so they return it; returns their ids.
        """
        locked = set[str]()
        if items:
            events = [item.id for item in items if item.kind == "event"]
            with self._database.transaction() as transaction:
                if events:
                    locked = _locked_of(transaction, events)
                    transaction.write(
                        _EVENTS_ASIDE, ([id_ for id_ in events if id_ not in locked],)
                    )
                transaction.insert(_INTO, rows.set_aside_rows(items), _KEEP_SINCE)
        return locked

    def locked(self, event_ids: Sequence[str]) -> set[str]:
        """Which of these events somebody has locked at this moment."""
        with self._database.transaction() as transaction:
            return _locked_of(transaction, event_ids)

    def take_back(self, kind: SetAsideKind, ids: Sequence[str]) -> None:
        """Releases these items. Ignores those that aren't set aside."""
        if ids:
            with self._database.transaction() as transaction:
                if kind == "event":
                    _change_events(transaction, _EVENTS_AGAIN, ids)
                take_back(transaction, kind, ids)

    def items(
        self,
        kind: SetAsideKind | None = None,
        due_before: int | None = None,
        ids: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> list[SetAside]:
        """Set-aside items, longest due first; optionally of one kind, due before that time, with
        one of these ids."""
        where: list[str] = []
        values: list[Any] = []
        # The primary key begins with the kind, and written like this, SQLite uses its index.
        if ids is not None:
            where.append("kind = ANY(%s) AND id = ANY(%s)")
            values += [list(rows.KINDS) if kind is None else [kind], list(ids)]
        elif kind is not None:
            where.append("kind = %s")
            values.append(kind)
        if due_before is not None:
            where.append("due_at < %s")
            values.append(due_before)
        found = self._database.read(
            f"SELECT {rows.SET_ASIDE} FROM bridge.quarantine"
            f" {'WHERE ' if where else ''}{' AND '.join(where)} ORDER BY due_at, kind, id LIMIT %s",
            (*values, limit),
        )
        return [SetAside(*row) for row in found]

    def counts(self) -> dict[SetAsideKind, int]:
        """kind → number of set-aside items, for kinds that have any. Counts at most 10,000 of
        each."""
        return {kind: number for kind, number in self._database.read(_COUNTS) if number}


def _locked_of(transaction: Transaction, event_ids: Sequence[str]) -> set[str]:
    """Locks these events, except those that somebody else has locked; returns the latter."""
    ours = {
        event_id
        for (event_id,) in transaction.fetch(f"{_LOCK_EVENTS} SKIP LOCKED", (list(event_ids),))
    }
    others = transaction.fetch(
        _THERE, ([event_id for event_id in event_ids if event_id not in ours],)
    )
    return {event_id for (event_id,) in others}


def _change_events(transaction: Transaction, change: str, event_ids: Sequence[str]) -> None:
    transaction.fetch(_LOCK_EVENTS, (list(event_ids),))
    transaction.write(change, (list(event_ids),))


def take_back(transaction: Transaction, kind: SetAsideKind, ids: Sequence[str]) -> None:
    """Deletes items of this kind with one of these ids."""
    if not ids:
        return
    # Only what is locked: another worker may set others of them aside in between.
    locked = [item for (item,) in transaction.fetch(_LOCK, (kind, list(ids)))]
    if locked:
        transaction.write(_TAKE_BACK, (kind, locked))


def prune(transaction: Transaction, before: int, limit: int) -> None:
    """Deletes up to `limit` items that were due before that time and haven't been retried since:
    there is nothing to retry.

    Of targets, deletes only those that have ended: another worker may not have known that one was
    set aside. Events are deleted along with their rows: as long as one is left out of the agenda,
    it must be found here.
    """
    numbers = rows.target_ids(id_ for (id_,) in transaction.fetch(_FIRST_TARGETS, (limit,)))
    live = {str(number) for (number,) in transaction.fetch(_LIVE, (numbers,))}
    take_back(transaction, "target", sorted(set(map(str, numbers)) - live))
    transaction.write(_PRUNE, (before, limit))
