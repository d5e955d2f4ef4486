"""Finds due targets, with webhooks taking turns, and writes decisions, results and what becomes of
events: many rows per statement.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from store.clock import MonotonicClock
from store.postgres.low_water_marks import IN_FULL_EVERY, IN_ORDER, LowWaterMarks, next_webhooks
from store.postgres.text import Longs, Texts
from store.records import Result, Target
from store.rules import fairness, transitions
from store.rules.transitions import EventChange
from store.sql import rows
from store.sql.claims import CLAIM, Claims
from store.sql.database import Database, Rows, Signals, Statement, Transaction
from store.sql.event_rows import JOINABLE_FROM, TAKE, Decided, EventRows, tasks_of
from store.sql.rows import number_of
from store.story import attempts_text

# An event that isn't decided yet is pending, and nobody else locks several of those: so it isn't
# locked either.
_LOCK_DECIDED = " ORDER BY seq FOR UPDATE"
_CHANGE = f"""
WITH before AS (
    SELECT id, status FROM bridge.events WHERE id = ANY(%s) AND decided_at IS NOT NULL{{lock}}
), changed AS (
    UPDATE bridge.events e SET status = c.status, held = c.held, settled_at = c.settled_at,
        decided_at = coalesce(nullif(e.decided_at, {rows.ASIDE_UNDECIDED}), %s),
        decided_by = CASE WHEN e.decided_at > {rows.ASIDE_UNDECIDED} THEN e.decided_by ELSE %s END,
        scan_at = CASE WHEN e.decided_at > {rows.ASIDE_UNDECIDED} THEN e.scan_at ELSE %s END,
        joinable_until = CASE WHEN e.decided_at > {rows.ASIDE_UNDECIDED} THEN e.joinable_until
            ELSE {JOINABLE_FROM} END
    FROM unnest(%b::text[], %b::text[], %b::smallint[], %b::bigint[]) AS c (id, status, held, settled_at)
    LEFT JOIN before ON before.id = c.id WHERE e.id = c.id
    RETURNING coalesce(before.status, 'pending') AS before, e.status AS after
) INSERT INTO bridge.finished_events (status, number)
SELECT status, sum(number) FROM (
    SELECT before, -1 FROM changed UNION ALL SELECT after, 1 FROM changed
) AS counted (status, number) WHERE status != 'pending' GROUP BY status HAVING sum(number) != 0
"""
_LOCK_NAMES = """
SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(name))
FROM (SELECT name FROM unnest(%s::text[]) AS asked (name) ORDER BY hashtext(name)) AS ordered
"""
_NUMBERS = {
    "version": "int",
    "attempts": "int",
    **dict.fromkeys(("claimed_at", "due_at", "created_at", "iteration", "wait"), "bigint"),
}
"""The columns of new targets that are numbers; all others are text."""
_NEW_TARGET = rows.NEW_TARGET.split(", ")
_NEW_TARGET_COLUMNS = [Longs if name in _NUMBERS else Texts for name in _NEW_TARGET]
_NEW_TARGET_ARRAYS = ", ".join(f"%b::{_NUMBERS.get(name, 'text')}[]" for name in _NEW_TARGET)
_ADD_TARGETS = (
    f"WITH added AS (INSERT INTO bridge.targets ({rows.NEW_TARGET}, webhook) SELECT"
    f" {rows.NEW_TARGET}, (SELECT e.webhook FROM bridge.events e WHERE e.id = event_id) FROM"
    f" unnest({_NEW_TARGET_ARRAYS}) WITH ORDINALITY AS new ({rows.NEW_TARGET}, number) ORDER BY"
    f" number RETURNING {rows.TARGET}) SELECT * FROM added WHERE state = 'claimed' OR once_key IS"
    " NOT NULL"
)
"""Returns some only: nobody needs the other targets before they are claimed."""

_NOT_DECIDED = Decided()


class PostgresEventRows(EventRows):
    """The rows of events and targets on PostgreSQL."""

    def lock_families(self, transaction: Transaction, origins: Sequence[str]) -> None:
        # No row is locked: an event's own row may be locked by another that waits for this.
        transaction.fetch(_LOCK_NAMES, ("bridge.events", Texts(origins)))

    def lock_lanes(self, transaction: Transaction, lanes: Sequence[str]) -> None:
        # No row is locked: which message is the first of its lane changes meanwhile, and so would
        # the order of locking.
        if lanes:
            transaction.fetch(_LOCK_NAMES, ("bridge.lanes", Texts(lanes)))

    def change(self, transaction: Transaction, changes: Mapping[str, EventChange]) -> None:
        if changes:
            transaction.write(*_changing(changes))

    def decide(
        self,
        transaction: Transaction,
        decided: Mapping[str, EventChange],
        over: Mapping[str, EventChange],
        new_rows: Sequence[tuple[Any, ...]],
        by: Decided,
    ) -> list[Target]:
        statements = [
            _changing(changes, one, _LOCK_DECIDED)
            for changes, one in ((decided, by), (over, _NOT_DECIDED))
            if changes
        ]
        taken = tasks_of(new_rows)
        if taken:
            statements.append((TAKE, (Texts(taken),)))
        if new_rows:
            statements.append((_ADD_TARGETS, _columns(new_rows)))
        found = transaction.fetch_together(statements)
        if not new_rows:
            return []
        return sorted(map(rows.target, found[-1]), key=lambda target: target.id)


def _changing(
    changes: Mapping[str, EventChange], by: Decided = _NOT_DECIDED, lock: str = ""
) -> Statement:
    """The statement for that. `by` applies to events that weren't decided before."""
    ids = Texts(changes)
    values = (
        ids,
        *by,
        by.at,
        by.at,
        ids,
        Texts(change.status for change in changes.values()),
        Longs(number_of(change.hold) for change in changes.values()),
        Longs(change.settled_at for change in changes.values()),
    )
    return _CHANGE.format(lock=lock), values


def _columns(new_rows: Sequence[tuple[Any, ...]]) -> tuple[Texts | Longs, ...]:
    """The parameters of the statement that inserts new targets."""
    columns = zip(*new_rows, strict=True)
    return tuple(kind(column) for kind, column in zip(_NEW_TARGET_COLUMNS, columns, strict=True))


_OF_WEBHOOK = (
    "t.state = 'pending' AND (t.webhook, t.due_at) >= ({webhook}, {low}) AND t.webhook <= {webhook}"
)
_FIRST_DUE = f"""
SELECT t.due_at FROM bridge.targets t WHERE {_OF_WEBHOOK.format(webhook="value", low="low")}
ORDER BY t.webhook, t.due_at LIMIT 1
"""
_IN_TURN = f"""
SELECT value FROM ({next_webhooks("bridge.targets", "r.state = 'pending'", low="due_at")}) next
WHERE NOT value = ANY(%(blocked)s) AND ({_FIRST_DUE}) <= %(now)s LIMIT %(webhooks)s
"""
"""The next webhooks with due targets whose turn it is."""
# Rows that another worker is claiming are passed over before they count: so workers that claim at
# the same time get different targets, however many workers there are. The array makes sure that
# this is done once.
_CLAIM_FIRST = f"""{CLAIM}
WHERE id = ANY(ARRAY(
    SELECT due.id FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS asked (webhook, share, low)
    CROSS JOIN LATERAL (
        SELECT t.id FROM bridge.targets t
        WHERE {_OF_WEBHOOK.format(webhook="asked.webhook", low="asked.low")} AND t.due_at <= %s
        ORDER BY t.webhook, t.due_at, t.id LIMIT asked.share FOR UPDATE SKIP LOCKED
    ) due
)) RETURNING {rows.TARGET}, webhook
"""
# A statement that changes many rows locks them in the order of its plan, which may be any.
_LOCK_TASKS = "SELECT id FROM bridge.tasks WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_LOCK_TARGETS = "SELECT id FROM bridge.targets WHERE id = ANY(%s) ORDER BY id FOR UPDATE"

_LATE = 2_000
"""Milliseconds: whatever becomes due, or is claimed, is visible that soon after its time; what
isn't waits for a scan in full."""


class PostgresClaims(Claims):
    """Claims on PostgreSQL. A scan begins where the last one found its first target
    (`LowWaterMarks`)."""

    def __init__(
        self, database: Database, events: EventRows, signals: Signals, clock: MonotonicClock = time
    ):
        super().__init__(database, events, signals)
        self._clock = clock
        self._in_full_at = float("-inf")
        self._lows = LowWaterMarks()
        self._low = 0
        self._low_of: dict[str, int] = {}
        """When the first target of each webhook is due; of others that isn't before `_low`."""

    def _look(self, now: int, expired_before: int, limit: int) -> tuple[Rows, Rows]:
        was_set_back = now < self._due_since
        if was_set_back or self._clock.monotonic() >= self._in_full_at:
            self._in_full_at = self._clock.monotonic() + IN_FULL_EVERY
            self._due_since = self._claimed_since = 0
        due, expired = super()._look(now, expired_before, limit)
        self._due_since = self._low = now - _LATE
        self._claimed_since = expired_before - _LATE
        if due:
            self._due_since = min(self._due_since, due[0][1])
        if len(due) > limit:
            self._low = min(self._low, due[-1][1])
        if expired:
            self._claimed_since = min(self._claimed_since, expired[0][1])
        self._low_of = {webhook: min(self._low, due_at) for webhook, due_at in reversed(due)}
        self._lows.found(webhook for webhook, _ in due)
        return due, expired

    def _in_turn(self, now: int, paces: Collection[str]) -> list[str]:
        blocked = self._blocked(now, paces)
        values = {
            "after": self._served,
            "blocked": blocked,
            "now": now,
            "webhooks": fairness.WEBHOOKS,
        }
        self._lows.set_all(self._low)
        self._lows.set(self._low_of)
        _, found = self._database.read_together(
            IN_ORDER, (_IN_TURN, {**values, **self._lows.parameters})
        )
        return [webhook for (webhook,) in found]

    def _claim_first(
        self, transaction: Transaction, worker: str, now: int, shares: Mapping[str, int]
    ) -> Rows:
        lows = [self._low_of.get(webhook, self._low) for webhook in shares]
        values = (worker, now, list(shares), list(shares.values()), lows, now)
        return transaction.fetch_together([IN_ORDER, (_CLAIM_FIRST, values)])[-1]

    def _record(
        self, transaction: Transaction, worker: str, by_id: Mapping[int, Result], now: int
    ) -> list[int]:
        changes = [
            transitions.target_after(result.target, result, now) for result in by_id.values()
        ]
        ids = Longs(by_id)
        update = (
            "UPDATE bridge.targets t SET state = c.state, error = c.error, workflow_id ="
            " c.workflow_id, due_at = c.due_at, not_sent = c.not_sent, settled_at = c.settled_at,"
            " failing_since = c.failing_since, failures = c.failures FROM unnest(%b::bigint[],"
            " %b::int[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bool[],"
            " %b::bigint[], %b::bigint[], %b::text[]) AS c (id, attempts, state, error,"
            " workflow_id, due_at, not_sent, settled_at, failing_since, failures)"
            # As in `_IS_CLAIM`.
            " WHERE t.id = c.id AND coalesce(t.state, '') = 'claimed' AND t.claimed_by = %s AND"
            " t.attempts = c.attempts RETURNING t.id",
            (
                ids,
                Longs(result.target.attempts for result in by_id.values()),
                Texts(change.state for change in changes),
                Texts(change.error for change in changes),
                Texts(change.workflow_id for change in changes),
                Longs(change.due_at for change in changes),
                [change.not_sent for change in changes],
                Longs(change.settled_at for change in changes),
                Longs(change.failing_since for change in changes),
                Texts(attempts_text(change.failures) for change in changes),
                worker,
            ),
        )
        found = transaction.fetch_together([(_LOCK_TARGETS, (ids,)), update])[-1]
        return sorted(row[0] for row in found)

    def _change_tasks(
        self, transaction: Transaction, changes: Mapping[str, transitions.TaskChange]
    ) -> None:
        if changes:
            found = sorted(changes.items())
            ids = Texts(task_id for task_id, _ in found)
            update = (
                "UPDATE bridge.tasks t SET state = c.state, settled_at = c.settled_at, read_at = 0"
                " FROM unnest(%b::text[], %b::text[], %b::bigint[]) AS c (id, state, settled_at)"
                " WHERE t.id = c.id AND t.state = 'taken'",
                (
                    ids,
                    Texts(change.state for _, change in found),
                    Longs(change.settled_at for _, change in found),
                ),
            )
            transaction.fetch_together([(_LOCK_TASKS, (ids,)), update])
