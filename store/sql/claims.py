"""Targets claimed by workers, and the results of their calls.

Rows are locked in one order: events, lanes, targets, tasks.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from store.records import Result, Target
from store.rules import fairness, transitions
from store.sql import rows
from store.sql.database import Database, Rows, Signals, Transaction
from store.sql.event_rows import EventRows, Locked
from store.sql.keys import advance, lanes_of, leave, note_given
from store.sql.quarantine import take_back

NO_PACES: Mapping[str, float] = MappingProxyType({})
CLAIM = """
UPDATE bridge.targets SET state = 'claimed', attempts = attempts + 1, claimed_by = %s, claimed_at = %s
"""
# A function of the state: PostgreSQL would look for some targets among all claims, and what is left
# of earlier ones.
_IS_CLAIMED = "coalesce(state, '') = 'claimed'"
_CLAIM_AGAIN = f"""{CLAIM}
WHERE id IN (
    SELECT id FROM bridge.targets WHERE id = ANY(%s) AND {_IS_CLAIMED} AND claimed_at < %s FOR UPDATE SKIP LOCKED
) RETURNING {rows.TARGET}
"""
_DUE = """
SELECT webhook, due_at FROM bridge.targets WHERE state = 'pending' AND due_at >= %s AND due_at <= %s
ORDER BY due_at LIMIT %s
"""
_EXPIRED = """
SELECT id, claimed_at FROM bridge.targets WHERE state = 'claimed' AND claimed_at >= %s AND claimed_at < %s
ORDER BY claimed_at LIMIT %s
"""
_BLOCKED = "SELECT webhook FROM bridge.paces WHERE next_at > %s AND webhook = ANY(%s)"
_PACES = """
SELECT webhook, next_at FROM bridge.paces WHERE webhook = ANY(%s) ORDER BY webhook FOR UPDATE SKIP LOCKED
"""
_INTO_PACES = "bridge.paces (webhook, next_at)"
_LATER = "ON CONFLICT (webhook) DO UPDATE SET next_at = excluded.next_at"
# By the index over tasks that are taken, not by that of all pending targets.
_IS_OF_TASK = "task_id = %s AND state IN ('pending', 'claimed')"
_CLAIM_COMPLETION = f"""{CLAIM}
WHERE id IN (
    SELECT id FROM bridge.targets WHERE {_IS_OF_TASK} AND coalesce(state, '') = 'pending'
    AND (attempts = 0 OR not_sent OR claimed_at < %s) FOR UPDATE SKIP LOCKED
) RETURNING {rows.TARGET}
"""
_IS_TAKEN = f"SELECT 1 FROM bridge.targets WHERE {_IS_OF_TASK}"
_IS_CLAIM = f"id = %s AND {_IS_CLAIMED} AND claimed_by = %s AND attempts = %s"
_RENEW = f"UPDATE bridge.targets SET claimed_at = %s WHERE {_IS_CLAIM}"
_GIVE_BACK = (
    "UPDATE bridge.targets SET state = 'pending', due_at = %s, attempts = attempts - 1 WHERE"
    f" {_IS_CLAIM}"
)
_HURRY = """
UPDATE bridge.targets SET due_at = %s WHERE id IN (
    SELECT id FROM bridge.targets WHERE state = 'pending' AND due_at > %s AND not_sent LIMIT %s FOR UPDATE SKIP LOCKED
)
"""
_HURRY_ONCE = """
UPDATE bridge.targets SET due_at = %s WHERE id IN (
    SELECT id FROM bridge.targets WHERE once_key = ANY(%s) AND state = 'pending' AND due_at > %s
    ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
)
"""
HURRIED = 1000
"""Targets made due per transaction."""
# In the order of an index, and by that alone: PostgreSQL would sort all that there are if it
# expected few.
_NEXT_DUE = """
SELECT (SELECT due_at FROM bridge.targets WHERE state = 'pending' AND due_at >= %(since)s ORDER BY due_at LIMIT 1)
"""
_NEXT_TURN = """
SELECT min(CASE WHEN next_at > due_at THEN next_at ELSE due_at END) FROM (
    SELECT next_at, (
        SELECT min(due_at) FROM bridge.targets t
        WHERE t.state = 'pending' AND t.webhook = paces.webhook AND t.due_at >= %(since)s
    ) AS due_at FROM bridge.paces WHERE webhook = ANY(%(paced)s)
) AS turns WHERE due_at IS NOT NULL
"""


class Claims(ABC):
    """Targets claimed by workers. A claim belongs to its worker, and stands until its result is
    recorded or another worker claims the target.

    The target's `attempts`, which every claim increments, tells a claim from a later one.
    """

    def __init__(self, database: Database, events: EventRows, signals: Signals):
        self._database = database
        self._events = events
        self._signals = signals
        self._served = ""
        """The webhook after which the next round over due targets starts."""
        self._due_since = self._claimed_since = 0
        """Nothing is due, and no claim stands, that is older."""

    def claim(
        self,
        worker: str,
        now: int,
        expired_before: int,
        limit: int,
        paces: Mapping[str, float] = NO_PACES,
    ) -> list[Target]:
        """Claims targets whose claim is older than `expired_before`, and targets that are due.

        Each webhook's longest due first; if more than `limit` are due, webhooks take turns. The
        cost grows with neither the targets nor the webhooks that wait. `paces`: webhook → calls a
        second; all workers together claim no more than `store.rules.fairness` allows, and only
        claims count.
        """
        # Look before beginning a transaction: most of the time there is nothing.
        first, expired = self._look(now, expired_before, limit)
        if not first and not expired:
            return []
        most: Mapping[str, int] = Counter(webhook for webhook, _ in first)
        if len(first) > limit - len(expired):
            most = dict.fromkeys(self._in_turn(now, paces), limit)
        if not most and not expired:  # their paces allow none now
            return []
        with self._database.transaction() as transaction:
            ids = [target_id for target_id, _ in expired]
            claimed = _claim_again(transaction, worker, now, ids, expired_before)
            # Another worker may have claimed some of the expired ones, so there may be more room.
            room = limit - len(claimed)
            if room and most:
                claimed += self._claim_in_turn(transaction, worker, now, room, most, paces)
        return sorted(claimed, key=lambda target: target.id)

    def _claim_in_turn(
        self,
        transaction: Transaction,
        worker: str,
        now: int,
        room: int,
        most: Mapping[str, int],
        paces: Mapping[str, float],
    ) -> list[Target]:
        """Claims up to `room` due targets. `most`: webhook → how many of its targets, in the order
        of the turns."""
        next_at = _lock_paces(transaction, sorted(paces.keys() & most.keys()))
        turns = fairness.Turns(room, fairness.within_paces(most, paces, next_at, now))
        claimed: list[Target] = []
        shares = turns.next_shares()
        while shares:
            found = self._claim_first(transaction, worker, now, shares)
            claimed += (rows.target(row[:-1]) for row in found)
            turns.note(shares, Counter(row[-1] for row in found))
            shares = turns.next_shares()
        later = [
            (webhook, fairness.next_by_pace(turns.served[webhook], paces[webhook], at, now))
            for webhook, at in next_at.items()
            if webhook in turns.served
        ]
        transaction.insert(_INTO_PACES, later, _LATER)
        self._served = fairness.last_served(list(most), turns.served)
        return claimed

    def _look(self, now: int, expired_before: int, limit: int) -> tuple[Rows, Rows]:
        """The webhooks and times of the first due targets, one more than the limit, and the targets
        whose claims ran out first, with the times of these claims."""
        due, expired = self._database.read_together(
            (_DUE, (self._due_since, now, limit + 1)),
            (_EXPIRED, (self._claimed_since, expired_before, limit)),
        )
        return due, expired

    @abstractmethod
    def _in_turn(self, now: int, paces: Collection[str]) -> list[str]:
        """The webhooks with due targets whose turn is next, in that order, except those whose pace
        allows none now."""

    @abstractmethod
    def _claim_first(
        self, transaction: Transaction, worker: str, now: int, shares: Mapping[str, int]
    ) -> Rows:
        """Claims of each webhook as many of its first due targets as its share says, passing over
        those that another worker is claiming at this moment. Returns their rows, with the webhook
        as the last column."""

    def _blocked(self, now: int, paces: Collection[str]) -> list[str]:
        """The webhooks whose pace allows no call now."""
        if not paces:
            return []
        return [webhook for (webhook,) in self._database.read(_BLOCKED, (now, list(paces)))]

    def renew(self, worker: str, target: Target, now: int) -> bool:
        """Renews the claim before a late call; False if another worker has claimed the target in
        the meantime."""
        with self._database.transaction() as transaction:
            return transaction.write(_RENEW, (now, target.id, worker, target.attempts)) == 1

    def record_results(self, worker: str, results: Sequence[Result], now: int) -> None:
        """Records the results of calls, and what follows for tasks and events. Results of lost
        claims are ignored. What has ended isn't set aside any more.

        Wakes the leader if that leaves something to decide: an event or a task is free again.
        """
        # Of several for one target, that under its last claim: of one worker's claims, the others
        # are lost.
        in_order = sorted(results, key=lambda result: (result.target.id, result.target.attempts))
        by_id = {result.target.id: result for result in in_order}
        if not by_id:
            return
        with self._database.transaction() as transaction:
            locked = self._lock(transaction, by_id.values())
            standing = [by_id[id_] for id_ in self._record(transaction, worker, by_id, now)]
            note_given(transaction, standing)
            changes = transitions.after_results(standing, now)
            has_advanced = self._change_targets(transaction, changes, now)
            self._change_tasks(transaction, changes.tasks)
            self._hurry_once(transaction, {target.once_key for target in changes.ended}, now)
            events = self._change_events(transaction, locked, changes, now)
        is_free = any(change.state == "waiting" for change in changes.tasks.values())
        if is_free or any(change.hold == "recheck" for change in events.values()):
            self._signals.notify("events")
        if has_advanced:
            self._signals.notify("targets")

    def _lock(self, transaction: Transaction, results: Collection[Result]) -> Mapping[str, Locked]:
        """Locks the events and lanes that these results may change; returns the events."""
        ended = [result.target for result in results if result.state in transitions.ENDED]
        locked = self._events.lock(transaction, {target.event_id for target in ended})
        moving = [result.target for result in results if transitions.may_advance_lane(result)]
        self._events.lock_lanes(transaction, lanes_of(moving))
        return locked

    def _change_targets(
        self, transaction: Transaction, changes: transitions.Changes, now: int
    ) -> bool:
        """Writes what else becomes of targets and their lanes. Returns whether the first message of
        a lane was made due."""
        leave(transaction, changes.leaving)
        # Only one that was tried before may have been set aside.
        tried_before = [str(target.id) for target in changes.ended if target.attempts > 1]
        take_back(transaction, "target", tried_before)
        return advance(transaction, lanes_of(changes.moving), now)

    def _change_events(
        self,
        transaction: Transaction,
        locked: Mapping[str, Locked],
        changes: transitions.Changes,
        now: int,
    ) -> dict[str, transitions.EventChange]:
        """Writes and returns what becomes of the locked events."""
        touched = sorted(locked.keys() & {target.event_id for target in changes.ended})
        states = self._events.states_of(transaction, touched)
        holds = {event_id: locked[event_id].hold for event_id in touched}
        events = transitions.events_after(changes, holds, states, now)
        self._events.change(transaction, events)
        origins = {event_id: event.origin for event_id, event in locked.items()}
        self._events.resolve(transaction, origins, events)
        return events

    def claim_completion(
        self, worker: str, task_id: str, now: int, free_before: int
    ) -> Target | Literal["in flight", "over"]:
        """Claims the completion of a taken task, due or not, for another call about the task; to be
        given back.

        `in flight` if the completion may be: it is claimed, or its last try, under a claim that
        isn't older than `free_before`, may have reached Conductor. `over` if no event has the task
        any more.
        """
        with self._database.transaction() as transaction:
            for row in transaction.fetch(_CLAIM_COMPLETION, (worker, now, task_id, free_before)):
                return rows.target(row)
            return "in flight" if transaction.fetch(_IS_TAKEN, (task_id,)) else "over"

    @abstractmethod
    def _record(
        self, transaction: Transaction, worker: str, by_id: Mapping[int, Result], now: int
    ) -> Iterable[int]:
        """Writes the targets' new states. Returns the ids of those whose claim still stood, in
        ascending order."""

    @abstractmethod
    def _change_tasks(
        self, transaction: Transaction, changes: Mapping[str, transitions.TaskChange]
    ) -> None:
        """Writes the new states of taken tasks."""

    def _hurry_once(self, transaction: Transaction, keys: Collection[str | None], now: int) -> None:
        """Makes starts due that waited for the holder of one of these keys."""
        ended = sorted(key for key in keys if key is not None)
        if ended:
            transaction.write(_HURRY_ONCE, (now, ended, now, HURRIED))

    def give_back(self, worker: str, targets: Sequence[Target], now: int) -> None:
        """Undoes claims without a call: the targets are due at once, for any worker."""
        if not targets:
            return
        in_order = sorted(targets, key=lambda target: target.id)
        undone = [(_GIVE_BACK, (now, target.id, worker, target.attempts)) for target in in_order]
        with self._database.transaction() as transaction:
            transaction.fetch_together(undone)
        self._signals.notify("targets")

    def hurry(self, now: int) -> None:
        """Conductor is back: makes targets that only wait for it due now. In steps, each a
        transaction."""
        # A try with a lost answer may still be taking effect, so those targets keep their due time.
        hurried = HURRIED
        while hurried == HURRIED:
            with self._database.transaction() as transaction:
                hurried = transaction.write(_HURRY, (now, now, HURRIED))

    def next_due(self, paces: Mapping[str, float] = NO_PACES) -> int | None:
        """When the next unclaimed target is due, taking `paces` into account.

        None if there is none.
        """
        values = {"since": self._due_since, "paced": list(paces)}
        statement = _NEXT_TURN if paces else _NEXT_DUE
        due_at: float | None = self._database.read(statement, values)[0][0]
        if due_at is None:
            return None
        return math.ceil(due_at)


def _claim_again(
    transaction: Transaction, worker: str, now: int, ids: list[int], expired_before: int
) -> list[Target]:
    """Claims those of these targets whose claims are still as old."""
    if not ids:
        return []
    found = transaction.fetch(_CLAIM_AGAIN, (worker, now, ids, expired_before))
    return list(map(rows.target, found))


def _lock_paces(transaction: Transaction, webhooks: list[str]) -> dict[str, float]:
    """webhook → when its next call may be made; locked for this worker until the transaction ends.

    Skips webhooks for which another worker is claiming at this moment.
    """
    if not webhooks:
        return {}
    new = [(webhook, 0) for webhook in webhooks]
    transaction.insert(_INTO_PACES, new, "ON CONFLICT (webhook) DO NOTHING")
    return dict(transaction.fetch(_PACES, (webhooks,)))
