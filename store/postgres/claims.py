"""Targets claimed by workers, and the results of their calls.

Rows are locked in one order: events, targets, tasks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from store import pace, rows, transitions, turns
from store.postgres.connections import Connection, Connections, Rows
from store.postgres.event_changes import change_events, lock_events, states_of
from store.postgres.signals import PostgresSignals
from store.protocols import NO_PACES, Claims
from store.records import Result, Target

_CLAIM = f"""
UPDATE bridge.targets SET state = 'claimed', attempts = attempts + 1, claimed_by = %s, claimed_at = %s
WHERE id IN (
    SELECT id FROM bridge.targets WHERE id = ANY(%s)
    AND (state = 'pending' AND due_at <= %s OR state = 'claimed' AND claimed_at < %s) FOR UPDATE SKIP LOCKED
) RETURNING {rows.TARGET}
"""
"""Skips what another worker is claiming at this moment."""
_DUE = "SELECT id, webhook FROM bridge.targets WHERE state = 'pending' AND due_at <= %s ORDER BY due_at, id LIMIT %s"
_EXPIRED = "SELECT id FROM bridge.targets WHERE state = 'claimed' AND claimed_at < %s ORDER BY claimed_at, id LIMIT %s"
_AFTER = rows.jumps("webhook", "bridge.targets", "state = 'pending'", after="%(after)s")
_TO = rows.jumps("webhook", "bridge.targets", "state = 'pending'", to="%(after)s")
_HAS_DUE = (
    "value != ALL(%(blocked)s) AND"
    " (SELECT min(due_at) FROM bridge.targets t WHERE t.state = 'pending' AND t.webhook = value) <= %(now)s"
)
_DUE_IN_TURN = f"""
WITH webhooks AS MATERIALIZED (
    SELECT value, row_number() OVER () AS turn FROM (
        SELECT value FROM ({_AFTER}) later WHERE {_HAS_DUE} UNION ALL SELECT value FROM ({_TO}) first WHERE {_HAS_DUE}
    ) next LIMIT %(webhooks)s
), counted AS MATERIALIZED (SELECT count(*) AS number FROM webhooks)
SELECT due.id, value FROM webhooks CROSS JOIN LATERAL (
    SELECT id, due_at FROM bridge.targets t WHERE t.state = 'pending' AND t.webhook = value AND t.due_at <= %(now)s
    ORDER BY due_at, id LIMIT (SELECT ceil(%(limit)s::numeric / greatest(1, number))::bigint FROM counted)
) due ORDER BY turn, due.due_at, due.id
"""
"""The next webhooks with due targets whose turn it is, and the first of each."""
_NEXT_TURN = """
SELECT min(greatest(p.next_at, t.due_at)) FROM bridge.paces p CROSS JOIN LATERAL (
    SELECT due_at FROM bridge.targets t WHERE t.state = 'pending' AND t.webhook = p.webhook ORDER BY due_at LIMIT 1
) t WHERE p.webhook = ANY(%s)
"""
_HURRY = """
UPDATE bridge.targets SET due_at = %s WHERE id IN (
    SELECT id FROM bridge.targets WHERE state = 'pending' AND due_at > %s AND not_sent LIMIT %s FOR UPDATE SKIP LOCKED
)
"""
_HURRIED = 1000
"""Targets made due per transaction."""
_FOR_OTHERS = 4
"""Looks at more than it wants, since other workers look at the same ones."""


class PostgresClaims(Claims):
    """Claims on PostgreSQL."""

    def __init__(self, connections: Connections, signals: PostgresSignals):
        self._connections = connections
        self._signals = signals
        self._served = ""
        """The webhook after which the next round over due targets starts."""

    def claim(
        self, worker: str, now: int, expired_before: int, limit: int, paces: Mapping[str, float] = NO_PACES
    ) -> list[Target]:
        # Look before beginning a transaction: most of the time there is nothing.
        more = limit * _FOR_OTHERS
        first, expired = self._connections.read_together((_DUE, (now, more + 1)), (_EXPIRED, (expired_before, more)))
        due = self._in_turn(now, more, paces) if len(first) > more else _by_webhook(first)
        if not due and not expired:
            return []
        claimed: list[Target] = []
        with self._connections.transaction() as connection:
            turn_of = self._lock_paces(connection, sorted(paces.keys() & due))
            may = {w: pace.allowed(paces[w], next_at, now) for w, next_at in turn_of.items()}
            lists = {w: ids[: may.get(w, 0)] if w in paces else ids for w, ids in due.items()}
            webhook_of = {target_id: webhook for webhook, ids in lists.items() for target_id in ids}
            ids = [*(target_id for (target_id,) in expired), *turns.in_turn(list(lists.values()))]
            while ids and len(claimed) < limit:
                part, ids = ids[: limit - len(claimed)], ids[limit - len(claimed) :]
                made = connection.fetch(_CLAIM, (worker, now, part, now, expired_before))
                claimed += map(rows.target, made)
            served = Counter(webhook_of[target.id] for target in claimed if target.id in webhook_of)
            self._set_paces(
                connection, {w: pace.after(served[w], paces[w], turn_of[w], now) for w in turn_of if served[w]}
            )
        self._served = turns.last_served(list(due), served)
        return sorted(claimed, key=lambda target: target.id)

    def _in_turn(self, now: int, limit: int, paces: Collection[str]) -> dict[str, list[int]]:
        """webhook → its first due targets, longest due first; webhooks in the order of their turns.

        Leaves out webhooks whose pace allows no call now.
        """
        sql = "SELECT webhook FROM bridge.paces WHERE next_at > %s AND webhook = ANY(%s)"
        blocked = [webhook for (webhook,) in self._connections.read(sql, (now, list(paces)))] if paces else []
        values = {"after": self._served, "blocked": blocked, "now": now, "webhooks": turns.WEBHOOKS, "limit": limit}
        return _by_webhook(self._connections.read(_DUE_IN_TURN, values))

    def _lock_paces(self, connection: Connection, webhooks: list[str]) -> dict[str, float]:
        """webhook → when its next call may be made; locked for this worker until the transaction ends.

        Skips webhooks for which another worker is claiming at this moment.
        """
        if not webhooks:
            return {}
        connection.write(
            "INSERT INTO bridge.paces (webhook, next_at) SELECT *, 0 FROM unnest(%b::text[])"
            " ON CONFLICT (webhook) DO NOTHING",
            (webhooks,),
        )
        sql = (
            "SELECT webhook, next_at FROM bridge.paces WHERE webhook = ANY(%s) ORDER BY webhook FOR UPDATE SKIP LOCKED"
        )
        return dict(connection.fetch(sql, (webhooks,)))

    def _set_paces(self, connection: Connection, turn_of: dict[str, float]) -> None:
        """Writes when each webhook's next call may be made. The rows must be locked."""
        if turn_of:
            connection.write(
                "UPDATE bridge.paces p SET next_at = c.next_at FROM unnest(%b::text[], %b::float8[])"
                " AS c (webhook, next_at) WHERE p.webhook = c.webhook",
                (list(turn_of), list(turn_of.values())),
            )

    def renew(self, worker: str, target: Target, now: int) -> bool:
        with self._connections.transaction() as connection:
            return bool(
                connection.write(
                    "UPDATE bridge.targets SET claimed_at = %s"
                    " WHERE id = %s AND state = 'claimed' AND claimed_by = %s AND attempts = %s",
                    (now, target.id, worker, target.attempts),
                )
            )

    def record_results(self, worker: str, results: Sequence[Result], now: int) -> None:
        by_id = {result.target.id: result for result in sorted(results, key=lambda result: result.target.id)}
        if not by_id:
            return
        for_decider = False
        taker_ended: dict[str, bool] = {}  # keyed by the ids of events with a target that ended
        with self._connections.transaction() as connection:
            touched = {result.target.event_id for result in by_id.values() if result.state in transitions.ENDED}
            holds = lock_events(connection, list(touched))
            standing = [by_id[target_id] for target_id in self._record(connection, worker, by_id, now)]
            tasks: dict[str, transitions.TaskChange] = {}
            for result in standing:
                target = result.target
                if result.state in transitions.ENDED:
                    ended = taker_ended.get(target.event_id, False)
                    taker_ended[target.event_id] = ended or target.kind == "complete"
                if target.task_id is not None and (task := transitions.task_after(result, now)) is not None:
                    tasks[target.task_id] = task
            self._change_tasks(connection, tasks)
            self._hurry_once(connection, {r.target.once_key for r in standing if r.state in transitions.ENDED}, now)
            states = states_of(connection, [each for each in taker_ended if each in holds])
            changes = {
                event_id: change
                for event_id, found in states.items()
                if (change := transitions.event_after(holds[event_id], found, taker_ended[event_id], now)) is not None
            }
            change_events(connection, changes)
            for_decider = any(change.for_decider for change in tasks.values()) or any(
                change.for_decider for change in changes.values()
            )
        if for_decider:
            self._signals.tell("events")

    def _record(self, connection: Connection, worker: str, by_id: dict[int, Result], now: int) -> list[int]:
        """Writes the targets' new states; returns the ids of those whose claim still stood."""
        changes = [transitions.target_after(result.target, result, now) for result in by_id.values()]
        found = connection.fetch(
            "UPDATE bridge.targets t SET state = c.state, error = c.error, workflow_id = c.workflow_id,"
            " due_at = c.due_at, not_sent = c.not_sent, settled_at = c.settled_at,"
            " failing_since = c.failing_since"
            " FROM unnest(%b::bigint[], %b::int[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bool[],"
            " %b::bigint[], %b::bigint[])"
            " AS c (id, attempts, state, error, workflow_id, due_at, not_sent, settled_at, failing_since)"
            " WHERE t.id = c.id AND t.state = 'claimed' AND t.claimed_by = %s AND t.attempts = c.attempts"
            " RETURNING t.id",
            (
                list(by_id),
                [result.target.attempts for result in by_id.values()],
                [change.state for change in changes],
                [change.error for change in changes],
                [change.workflow_id for change in changes],
                [change.due_at for change in changes],
                [change.not_sent for change in changes],
                [change.settled_at for change in changes],
                [change.failing_since for change in changes],
                worker,
            ),
        )
        return sorted(row[0] for row in found)

    def _change_tasks(self, connection: Connection, changes: dict[str, transitions.TaskChange]) -> None:
        """Writes the new states of taken tasks, in the order of their ids."""
        if changes:
            ids = sorted(changes)
            connection.write(
                "UPDATE bridge.tasks t SET state = c.state, settled_at = c.settled_at"
                " FROM unnest(%b::text[], %b::text[], %b::bigint[]) AS c (id, state, settled_at)"
                " WHERE t.id = c.id AND t.state = 'taken'",
                (ids, [changes[task_id].state for task_id in ids], [changes[task_id].settled_at for task_id in ids]),
            )

    def _hurry_once(self, connection: Connection, keys: Collection[str | None], now: int) -> None:
        """Starts that waited for their key's holder needn't wait any more."""
        ended = sorted(key for key in keys if key is not None)
        if ended:
            connection.write(
                "UPDATE bridge.targets SET due_at = %s WHERE id IN (SELECT id FROM bridge.targets"
                " WHERE once_key = ANY(%s) AND state = 'pending' AND due_at > %s ORDER BY id LIMIT %s"
                " FOR UPDATE SKIP LOCKED)",
                (now, ended, now, _HURRIED),
            )

    def give_back(self, worker: str, targets: Sequence[Target], now: int) -> None:
        if not targets:
            return
        with self._connections.transaction() as connection:
            connection.write(
                "UPDATE bridge.targets t SET state = 'pending', due_at = %s, attempts = t.attempts - 1"
                " FROM unnest(%b::bigint[], %b::int[]) AS c (id, attempts)"
                " WHERE t.id = c.id AND t.state = 'claimed' AND t.claimed_by = %s AND t.attempts = c.attempts",
                (now, [target.id for target in targets], [target.attempts for target in targets], worker),
            )
        self._signals.tell("targets")

    def hurry(self, now: int) -> None:
        # A try with a lost answer may still be taking effect, so those targets keep their due time.
        hurried = _HURRIED
        while hurried == _HURRIED:
            with self._connections.transaction() as connection:
                hurried = connection.write(_HURRY, (now, now, _HURRIED))

    def next_due(self, paces: Mapping[str, float] = NO_PACES) -> int | None:
        if not paces:
            found = self._connections.read("SELECT min(due_at) FROM bridge.targets WHERE state = 'pending'")
            due_at: int | None = found[0][0]
            return due_at
        turn: float | None = self._connections.read(_NEXT_TURN, (list(paces),))[0][0]
        return None if turn is None else math.ceil(turn)


def _by_webhook(found: Rows) -> dict[str, list[int]]:
    """webhook → ids of its targets, from rows of (webhook, id)."""
    by_webhook: dict[str, list[int]] = {}
    for target_id, webhook in found:
        by_webhook.setdefault(webhook, []).append(target_id)
    return by_webhook
