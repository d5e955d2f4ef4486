"""Targets in the hands of workers, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database

from events import transitions
from events.records import Result, Target
from events.sqlite import rows
from events.sqlite.connections import Connections
from events.sqlite.parts import marks, parts
from events.sqlite.signals import WakeUp


class Claims:
    """Implements `events.store.Claims`."""

    _connections: Connections
    _wake: WakeUp

    def claim(self, worker: str, now: int, expired_before: int, limit: int) -> list[Target]:
        # Looked for before the write transaction is begun: most of the time there is nothing.
        found = self._connections.read(
            "SELECT id FROM (SELECT id, due_at AS turn FROM targets WHERE state = 'pending' AND due_at <= ?"
            " UNION ALL SELECT id, claimed_at FROM targets WHERE state = 'claimed' AND claimed_at < ?)"
            " ORDER BY turn, id LIMIT ?",
            (now, expired_before, limit),
        )
        if not found:
            return []
        ids = [row[0] for row in found]
        claimed: list[Target] = []
        with self._connections.transaction() as db:
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

    def next_due(self) -> int | None:
        due_at: int | None = self._connections.read("SELECT min(due_at) FROM targets WHERE state = 'pending'")[0][0]
        return due_at


def _record(db: Database, worker: str, result: Result, now: int) -> bool:
    """Writes the target's new state; whether its claim still stood."""
    target = result.target
    change = transitions.target_after(target, result, now)
    row = db.execute(
        "UPDATE targets SET state = ?, error = ?, workflow_id = ?, due_at = ?, not_sent = ?, settled_at = ?"
        " WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ? RETURNING id",
        (
            change.state,
            change.error,
            change.workflow_id,
            change.due_at,
            change.not_sent,
            change.settled_at,
            target.id,
            worker,
            target.attempts,
        ),
    ).fetchone()
    return row is not None
