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
from store.sql.event_rows import EventRows
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
_GIVE_BACK = f"UPDATE bridge.targets SET state = 'pending', due_at = %s, attempts = attempts - 1 WHERE {_IS_CLAIM}"
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
        counts = Counter(webhook for webhook, _ in first)
        more = len(first) > limit - len(expired)
        in_turn = self._in_turn(now, paces) if more else list(counts)
        if not in_turn and not expired:  # their paces allow none now
            return []
        claimed: list[Target] = []
        served: Counter[str] = Counter()
        with self._database.transaction() as transaction:
            if expired:
                ids = [target_id for target_id, _ in expired]
                claimed += map(
                    rows.target, transaction.fetch(_CLAIM_AGAIN, (worker, now, ids, expired_before))
                )
            room = limit - len(
                claimed
            )  # another worker may have claimed some of the old ones again
            turn_of = _lock_paces(transaction, sorted(paces.keys() & in_turn)) if room else {}
            may = {
                w: fairness.allowed_by_pace(paces[w], turn_of[w], now) if w in turn_of else 0
                for w in in_turn
                if w in paces
            }
            waiting = [webhook for webhook in in_turn if may.get(webhook, 1) > 0]
            while (
                asked := fairness.shares(room, waiting) if more else {w: counts[w] for w in waiting}
            ):
                shares = {
                    webhook: min(share, may.get(webhook, share)) for webhook, share in asked.items()
                }
                made = self._claim_first(transaction, worker, now, shares)
                claimed += (rows.target(row[:-1]) for row in made)
                got = Counter(row[-1] for row in made)
                served += got
                room -= len(made)
                may = {webhook: number - got[webhook] for webhook, number in may.items()}
                # What others didn't use goes to those that got nothing yet, then to those that may
                # have more.
                again = [w for w in shares if got[w] == shares[w] and may.get(w, 1) > 0]
                waiting = [*(w for w in waiting if w not in shares), *again] if more else []
            next_at = [
                (w, fairness.next_by_pace(served[w], paces[w], turn_of[w], now))
                for w in turn_of
                if served[w]
            ]
            transaction.insert(
                _INTO_PACES,
                next_at,
                "ON CONFLICT (webhook) DO UPDATE SET next_at = excluded.next_at",
            )
        if in_turn and (served or room):
            self._served = fairness.last_served(in_turn, served)
        return sorted(claimed, key=lambda target: target.id)

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
        return (
            [webhook for (webhook,) in self._database.read(_BLOCKED, (now, list(paces)))]
            if paces
            else []
        )

    def renew(self, worker: str, target: Target, now: int) -> bool:
        """Renews the claim before a late call; False if another worker has claimed the target in
        the meantime."""
        with self._database.transaction() as transaction:
            return transaction.write(_RENEW, (now, target.id, worker, target.attempts)) == 1

    def record_results(self, worker: str, results: Sequence[Result], now: int) -> None:
        """Records the results of calls, and what follows for tasks and events. Results of lost
        claims are ignored. What has ended isn't set aside any more.

        Wakes the leader if that leaves something to decide (an event is free again, a task has
        returned).
        """
        # Of several for one target, that under its last claim: of one worker's claims, the others
        # are lost.
        in_order = sorted(results, key=lambda result: (result.target.id, result.target.attempts))
        by_id = {result.target.id: result for result in in_order}
        if not by_id:
            return
        with self._database.transaction() as transaction:
            touched = {
                result.target.event_id
                for result in by_id.values()
                if result.state in transitions.ENDED
            }
            locked = self._events.lock(transaction, touched)
            over = [
                result.target
                for result in by_id.values()
                if result.state in transitions.ENDED
                or result.state == "queued"
                or result.leaves_lane
            ]
            self._events.lock_lanes(transaction, lanes_of(over))
            standing = [
                by_id[target_id] for target_id in self._record(transaction, worker, by_id, now)
            ]
            ended = [result.target for result in standing if result.state in transitions.ENDED]
            leaving = [result.target for result in standing if result.leaves_lane]
            leave(transaction, leaving)
            if tried_before := [str(target.id) for target in ended if target.attempts > 1]:
                take_back(transaction, "target", tried_before)
            note_given(transaction, standing)
            # One that was queued again may be the first by now.
            queued = [result.target for result in standing if result.state == "queued"]
            more = advance(transaction, lanes_of([*ended, *leaving, *queued]), now)
            tasks = {
                result.target.task_id: after
                for result in standing
                if result.target.task_id is not None
                and (after := transitions.task_after(result, now)) is not None
            }
            self._change_tasks(transaction, tasks)
            self._hurry_once(transaction, {target.once_key for target in ended}, now)
            taker_ended = {
                result.target.event_id
                for result in standing
                if result.state in transitions.ENDED
                and result.target.kind == "complete"
                and not result.final
            }
            states = self._events.states_of(
                transaction, sorted(locked.keys() & {target.event_id for target in ended})
            )
            events = {
                event_id: change
                for event_id, found in states.items()
                for hold in [locked[event_id].hold]
                if (change := transitions.event_after(hold, found, event_id in taker_ended, now))
                is not None
            }
            self._events.change(transaction, events)
            origins = {event_id: event.origin for event_id, event in locked.items()}
            self._events.resolve(transaction, origins, events)
        if any(task.for_decider for task in tasks.values()) or any(
            event.for_decider for event in events.values()
        ):
            self._signals.notify("events")
        if more:
            self._signals.notify("targets")

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
        if ended := sorted(key for key in keys if key is not None):
            transaction.write(_HURRY_ONCE, (now, ended, now, HURRIED))

    def give_back(self, worker: str, targets: Sequence[Target], now: int) -> None:
        """Undoes claims without a call: the targets are due at once, for any worker."""
        if targets:
            with self._database.transaction() as transaction:
                in_order = sorted(targets, key=lambda target: target.id)
                transaction.fetch_together(
                    [(_GIVE_BACK, (now, t.id, worker, t.attempts)) for t in in_order]
                )
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
        found = self._database.read(_NEXT_TURN if paces else _NEXT_DUE, values)
        return None if found[0][0] is None else math.ceil(found[0][0])


def _lock_paces(transaction: Transaction, webhooks: list[str]) -> dict[str, float]:
    """webhook → when its next call may be made; locked for this worker until the transaction ends.

    Skips webhooks for which another worker is claiming at this moment.
    """
    if not webhooks:
        return {}
    transaction.insert(
        _INTO_PACES, [(webhook, 0) for webhook in webhooks], "ON CONFLICT (webhook) DO NOTHING"
    )
    return dict(transaction.fetch(_PACES, (webhooks,)))
