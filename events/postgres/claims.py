"""Targets in the hands of workers, and what came of them. Rows are locked in one order: events, targets, tasks."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from events import pace, rows, transitions
from events.postgres.changes import change_events, lock_events, states_of
from events.postgres.connections import Connection, Connections
from events.postgres.signals import Bell
from events.records import Result, Target
from events.store import NO_PACES

_CLAIM = f"""
UPDATE bridge.targets SET state = 'claimed', attempts = attempts + 1, claimed_by = %s, claimed_at = %s
WHERE id IN (
    SELECT id FROM bridge.targets WHERE id = ANY(%s)
    AND (state = 'pending' AND due_at <= %s OR state = 'claimed' AND claimed_at < %s) FOR UPDATE SKIP LOCKED
) RETURNING {rows.TARGET}
"""
"""What another worker is claiming at this moment is left to it."""
_DUE = "SELECT id, due_at FROM bridge.targets WHERE state = 'pending' AND due_at <= %s ORDER BY due_at, id LIMIT %s"
_EXPIRED = (
    "SELECT id, claimed_at FROM bridge.targets WHERE state = 'claimed' AND claimed_at < %s"
    " ORDER BY claimed_at, id LIMIT %s"
)
_WEBHOOKS = rows.jumps("webhook", "bridge.targets", "state = 'pending'")
_DUE_BESIDE = f"""
SELECT due.id, due.due_at FROM ({_WEBHOOKS}) webhooks CROSS JOIN LATERAL (
    SELECT id, due_at FROM bridge.targets t WHERE t.state = 'pending' AND t.webhook = webhooks.value AND t.due_at <= %s
    ORDER BY due_at, id LIMIT %s
) due WHERE webhooks.value != ALL(%s) ORDER BY due.due_at, due.id LIMIT %s
"""
_FIRST = f"""
SELECT webhooks.value, (
    SELECT min(due_at) FROM bridge.targets t WHERE t.state = 'pending' AND t.webhook = webhooks.value
) FROM ({_WEBHOOKS}) webhooks
"""
"""Of each webhook that has pending targets, when the first is due."""
_DUE_OF_WEBHOOK = (
    "SELECT id, due_at FROM bridge.targets WHERE state = 'pending' AND webhook = %s AND due_at <= %s"
    " ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED"
)
_FOR_OTHERS = 4
"""More are looked at than wanted, since other workers look at the same ones."""


class Claims:
    """Implements `events.store.Claims`."""

    _connections: Connections
    _bell: Bell

    def claim(
        self, worker: str, now: int, expired_before: int, limit: int, paces: Mapping[str, float] = NO_PACES
    ) -> list[Target]:
        # Looked for before a transaction is begun: most of the time there is nothing.
        read, more = self._connections.read, limit * _FOR_OTHERS
        waiting = (_DUE_BESIDE, (now, more, list(paces), more)) if paces else (_DUE, (now, more))
        due, expired = self._connections.read_together(waiting, (_EXPIRED, (expired_before, more)))
        due += expired
        paced = [webhook for webhook, first in read(_FIRST) if webhook in paces and first <= now] if paces else []
        if not due and not paced:
            return []
        claimed: list[Target] = []
        with self._connections.transaction() as connection:
            for webhook in sorted(paced):
                due += self._take_turns(connection, webhook, paces[webhook], now, limit)
            ids = [target_id for target_id, _ in sorted(due, key=lambda row: (row[1], row[0]))]
            while ids and len(claimed) < limit:
                part, ids = ids[: limit - len(claimed)], ids[limit - len(claimed) :]
                made = self._connections.fetch(connection, _CLAIM, (worker, now, part, now, expired_before))
                claimed += map(rows.target, made)
        return sorted(claimed, key=lambda target: target.id)

    def _take_turns(
        self, connection: Connection, webhook: str, rate: float, now: int, limit: int
    ) -> list[tuple[Any, ...]]:
        """The webhook's due targets that its pace allows now, one worker at a time."""
        fetch, execute = self._connections.fetch, self._connections.execute
        execute(
            connection,
            "INSERT INTO bridge.paces (webhook, next_at) VALUES (%s, 0) ON CONFLICT (webhook) DO NOTHING",
            (webhook,),
        )
        sql = "SELECT next_at FROM bridge.paces WHERE webhook = %s FOR UPDATE"
        next_at: float = fetch(connection, sql, (webhook,))[0][0]
        most = min(limit, pace.allowed(rate, next_at, now))
        found = fetch(connection, _DUE_OF_WEBHOOK, (webhook, now, most)) if most > 0 else []
        if found:
            execute(
                connection,
                "UPDATE bridge.paces SET next_at = %s WHERE webhook = %s",
                (pace.after(len(found), rate, next_at, now), webhook),
            )
        return found

    def renew_claim(self, worker: str, target: Target, now: int) -> bool:
        with self._connections.transaction() as connection:
            return bool(
                self._connections.execute(
                    connection,
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
        taker_ended: dict[str, bool] = {}  # by the ids of the events that a target of came to an end
        with self._connections.transaction() as connection:
            touched = {result.target.event_id for result in by_id.values() if result.state in transitions.ENDED}
            holds = lock_events(self._connections, connection, list(touched))
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
            states = states_of(self._connections, connection, [each for each in taker_ended if each in holds])
            changes = {
                event_id: change
                for event_id, found in states.items()
                if (change := transitions.event_after(holds[event_id], found, taker_ended[event_id], now)) is not None
            }
            change_events(self._connections, connection, changes)
            for_decider = any(change.for_decider for change in tasks.values()) or any(
                change.for_decider for change in changes.values()
            )
        if for_decider:
            self._bell.ring("events")

    def _record(self, connection: Connection, worker: str, by_id: dict[int, Result], now: int) -> list[int]:
        """Writes the targets' new states; the ids of those whose claim still stood."""
        changes = [transitions.target_after(result.target, result, now) for result in by_id.values()]
        found = self._connections.fetch(
            connection,
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
        """Writes what becomes of the tasks that are taken, in the order of their ids."""
        if changes:
            ids = sorted(changes)
            self._connections.execute(
                connection,
                "UPDATE bridge.tasks t SET state = c.state, settled_at = c.settled_at"
                " FROM unnest(%b::text[], %b::text[], %b::bigint[]) AS c (id, state, settled_at)"
                " WHERE t.id = c.id AND t.state = 'taken'",
                (ids, [changes[task_id].state for task_id in ids], [changes[task_id].settled_at for task_id in ids]),
            )

    def _hurry_once(self, connection: Connection, keys: Collection[str | None], now: int) -> None:
        """Starts that waited for the holder of their key needn't any more."""
        ended = sorted(key for key in keys if key is not None)
        if ended:
            self._connections.execute(
                connection,
                "UPDATE bridge.targets SET due_at = %s WHERE id IN (SELECT id FROM bridge.targets"
                " WHERE once_key = ANY(%s) AND state = 'pending' AND due_at > %s ORDER BY id FOR UPDATE SKIP LOCKED)",
                (now, ended, now),
            )

    def give_back(self, worker: str, targets: Sequence[Target], now: int) -> None:
        if not targets:
            return
        with self._connections.transaction() as connection:
            self._connections.execute(
                connection,
                "UPDATE bridge.targets t SET state = 'pending', due_at = %s, attempts = t.attempts - 1"
                " FROM unnest(%b::bigint[], %b::int[]) AS c (id, attempts)"
                " WHERE t.id = c.id AND t.state = 'claimed' AND t.claimed_by = %s AND t.attempts = c.attempts",
                (now, [target.id for target in targets], [target.attempts for target in targets], worker),
            )
        self._bell.ring("targets")

    def hurry(self, now: int) -> None:
        with self._connections.transaction() as connection:
            # A try whose answer was lost may still be taking effect: those keep their time.
            self._connections.execute(
                connection,
                "UPDATE bridge.targets SET due_at = %s WHERE id IN (SELECT id FROM bridge.targets"
                " WHERE state = 'pending' AND due_at > %s AND not_sent ORDER BY id FOR UPDATE SKIP LOCKED)",
                (now, now),
            )

    def next_due(self, paces: Mapping[str, float] = NO_PACES) -> int | None:
        if not paces:
            found = self._connections.read("SELECT min(due_at) FROM bridge.targets WHERE state = 'pending'")
            due_at: int | None = found[0][0]
            return due_at
        turns: dict[str, float] = dict(self._connections.read("SELECT webhook, next_at FROM bridge.paces"))
        return min(
            (
                max(due, math.ceil(turns.get(webhook, 0))) if webhook in paces else due
                for webhook, due in self._connections.read(_FIRST)
            ),
            default=None,
        )
