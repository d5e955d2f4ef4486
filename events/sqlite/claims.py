"""Targets in the hands of workers, and what came of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from sqlite_utils import Database

from events import pace, transitions
from events.records import Result, Target
from events.rows import jumps
from events.sqlite import rows
from events.sqlite.connections import Connections
from events.sqlite.parts import marks, parts
from events.sqlite.signals import WakeUp
from events.store import NO_PACES

_DUE = "SELECT id, due_at FROM targets WHERE state = 'pending' AND due_at <= ? ORDER BY due_at, id LIMIT ?"
_EXPIRED = (
    "SELECT id, claimed_at FROM targets WHERE state = 'claimed' AND claimed_at < ? ORDER BY claimed_at, id LIMIT ?"
)
_WEBHOOKS = jumps("webhook", "targets", "state = 'pending'")
_DUE_OF_WEBHOOK = (
    "SELECT id, due_at FROM targets WHERE state = 'pending' AND webhook = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?"
)
_FIRST_OF_WEBHOOK = "SELECT due_at FROM targets WHERE state = 'pending' AND webhook = ? ORDER BY due_at LIMIT 1"


class Claims:
    """Implements `events.store.Claims`."""

    _connections: Connections
    _wake: WakeUp

    def claim(
        self, worker: str, now: int, expired_before: int, limit: int, paces: Mapping[str, float] = NO_PACES
    ) -> list[Target]:
        # Looked for before the write transaction is begun: most of the time there is nothing.
        due = self._due_beside(paces, now, limit) if paces else self._connections.read(_DUE, (now, limit))
        expired = self._connections.read(_EXPIRED, (expired_before, limit))
        paced = {webhook for webhook in paces if self._connections.read(_DUE_OF_WEBHOOK, (webhook, now, 1))}
        if not due and not expired and not paced:
            return []
        claimed: list[Target] = []
        with self._connections.transaction() as db:
            for webhook in sorted(paced):
                due += _take_turns(db, webhook, paces[webhook], now, limit)
            ids = [target_id for target_id, _ in sorted(due + expired, key=lambda row: (row[1], row[0]))[:limit]]
            for part in parts(ids):
                claimed += (
                    rows.target(row)
                    for row in db.execute(
                        "UPDATE targets SET state = 'claimed', attempts = attempts + 1, claimed_by = ?, claimed_at = ?"
                        f" WHERE id IN ({marks(part)}) AND (state = 'pending' AND due_at <= ?"
                        f" OR state = 'claimed' AND claimed_at < ?) RETURNING {rows.TARGET}",
                        (worker, now, *part, now, expired_before),
                    ).fetchall()
                )
        return sorted(claimed, key=lambda target: target.id)

    def renew_claim(self, worker: str, target: Target, now: int) -> bool:
        with self._connections.transaction() as db:
            row = db.execute(
                "UPDATE targets SET claimed_at = ?"
                " WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ? RETURNING id",
                (now, target.id, worker, target.attempts),
            ).fetchone()
        return row is not None

    def record_results(self, worker: str, results: Sequence[Result], now: int) -> None:
        taker_ended: dict[str, bool] = {}  # by the ids of the events that a target of came to an end
        for_decider = False
        with self._connections.transaction() as db:
            for result in results:
                if not _record(db, worker, result, now):  # another claim's result counts
                    continue
                target = result.target
                if result.state in transitions.ENDED:
                    if target.once_key is not None:  # those that waited for it needn't any more
                        db.execute(
                            "UPDATE targets SET due_at = ? WHERE once_key = ? AND state = 'pending' AND due_at > ?",
                            (now, target.once_key, now),
                        )
                    ended = taker_ended.get(target.event_id, False)
                    taker_ended[target.event_id] = ended or target.kind == "complete"
                if (task := transitions.task_after(result, now)) is not None:
                    for_decider |= task.for_decider
                    db.execute(
                        "UPDATE tasks SET state = ?, settled_at = ? WHERE id = ? AND state = 'taken'",
                        (task.state, task.settled_at, target.task_id),
                    )
            for event_id, ended in taker_ended.items():
                hold = rows.hold(db, event_id)
                if hold is None:
                    continue
                change = transitions.event_after(hold, rows.states(db, event_id), ended, now)
                if change is not None:
                    for_decider |= change.for_decider
                    rows.change_event(db, event_id, change)
        if for_decider:
            self._wake.send()

    def give_back(self, worker: str, targets: Sequence[Target], now: int) -> None:
        with self._connections.transaction() as db:
            db.conn.executemany(
                "UPDATE targets SET state = 'pending', due_at = ?, attempts = attempts - 1"
                " WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ?",
                [(now, target.id, worker, target.attempts) for target in targets],
            )

    def hurry(self, now: int) -> None:
        with self._connections.transaction() as db:
            # A try whose answer was lost may still be taking effect: those keep their time.
            db.execute(
                "UPDATE targets SET due_at = ? WHERE state = 'pending' AND due_at > ? AND not_sent = 1", (now, now)
            )

    def next_due(self, paces: Mapping[str, float] = NO_PACES) -> int | None:
        if not paces:
            due_at: int | None = self._connections.read("SELECT min(due_at) FROM targets WHERE state = 'pending'")[0][0]
            return due_at
        turns = dict(self._connections.read("SELECT webhook, next_at FROM paces"))
        first = [
            max(due, math.ceil(turns.get(webhook, 0))) if webhook in paces else due
            for (webhook,) in self._connections.read(_WEBHOOKS)
            for (due,) in self._connections.read(_FIRST_OF_WEBHOOK, (webhook,))
        ]
        return min(first, default=None)

    def _due_beside(self, paces: Collection[str], now: int, limit: int) -> list[tuple[int, int]]:
        """Id and time of the due targets of all webhooks but these, the longest due first of each."""
        return [
            row
            for (webhook,) in self._connections.read(_WEBHOOKS)
            if webhook not in paces
            for row in self._connections.read(_DUE_OF_WEBHOOK, (webhook, now, limit))
        ]


def _take_turns(db: Database, webhook: str, rate: float, now: int, limit: int) -> list[tuple[int, int]]:
    """The webhook's due targets that its pace allows now; what other workers took since they were seen counts."""
    row = db.execute("SELECT next_at FROM paces WHERE webhook = ?", (webhook,)).fetchone()
    next_at: float = row[0] if row else 0.0
    found = db.execute(_DUE_OF_WEBHOOK, (webhook, now, min(limit, pace.allowed(rate, next_at, now)))).fetchall()
    if found:
        db.execute(
            "INSERT INTO paces (webhook, next_at) VALUES (?, ?)"
            " ON CONFLICT (webhook) DO UPDATE SET next_at = excluded.next_at",
            (webhook, pace.after(len(found), rate, next_at, now)),
        )
    return found


def _record(db: Database, worker: str, result: Result, now: int) -> bool:
    """Writes the target's new state; whether its claim still stood."""
    target = result.target
    change = transitions.target_after(target, result, now)
    row = db.execute(
        "UPDATE targets SET state = ?, error = ?, workflow_id = ?, due_at = ?, not_sent = ?, settled_at = ?,"
        " failing_since = ? WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ? RETURNING id",
        (
            change.state,
            change.error,
            change.workflow_id,
            change.due_at,
            change.not_sent,
            change.settled_at,
            change.failing_since,
            target.id,
            worker,
            target.attempts,
        ),
    ).fetchone()
    return row is not None
