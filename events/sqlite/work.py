"""The worker's part of the store: the lease, tasks, decisions, claims and results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlite_utils import Database

from events.records import Decision, Event, Result, Target, Task, Workflow
from events.sqlite import rows
from events.sqlite.connections import BUSY_TIMEOUT, Connections
from events.sqlite.deliveries import WakeUp
from events.store import LeaseLost

_LEASE = "decider"
_LONG_LOG = 4000
"""Pages of the write-ahead log after which it is begun anew."""
_MANY = 500  # parameters of one IN (…)


class Work:
    """Implements `events.store.WorkStore`."""

    _connections: Connections
    _wake: WakeUp

    # --- the lease ---

    def acquire_lease(self, holder: str, now: int, until: int, orphaned: bool = False) -> bool:
        with self._connections.transaction() as db:
            taken = db.execute(
                "INSERT INTO leases (name, holder, until) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
                " SET holder = excluded.holder, until = excluded.until WHERE holder = excluded.holder OR until < ? OR ?"
                " RETURNING holder",
                (_LEASE, holder, until, now, orphaned),
            ).fetchall()
            return bool(taken)

    def release_lease(self, holder: str) -> None:
        with self._connections.transaction() as db:
            db.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (_LEASE, holder))
        self._wake.send()

    @contextmanager
    def _deciding(self, holder: str) -> Iterator[Database]:
        """A transaction that only the lease's holder may write in."""
        with self._connections.transaction() as db:
            row = db.execute("SELECT holder FROM leases WHERE name = ?", (_LEASE,)).fetchone()
            if row is None or row[0] != holder:
                raise LeaseLost
            yield db

    # --- news ---

    def wake_descriptor(self) -> int | None:
        return self._wake.listen()

    def change_counter(self) -> int:
        return int(self._connections.read("PRAGMA data_version")[0][0])

    def undecided(self, after_seq: int, limit: int) -> list[Event]:
        return self._events(
            "WHERE status = 'pending' AND decided_at IS NULL AND seq > ? ORDER BY seq LIMIT ?", (after_seq, limit)
        )

    def held(self, after_seq: int, limit: int) -> list[Event]:
        return self._events("WHERE held = 1 AND seq > ? ORDER BY seq LIMIT ?", (after_seq, limit))

    def freed(self, limit: int) -> list[Event]:
        return self._events("WHERE held = 2 ORDER BY seq LIMIT ?", (limit,))

    def returned_tasks(self) -> list[Task]:
        sql = f"SELECT {rows.TASK} FROM tasks WHERE state = 'returned' ORDER BY id"
        return [rows.task(row) for row in self._connections.read(sql)]

    def events_of(self, event_ids: Sequence[str]) -> dict[str, Event]:
        found: list[Event] = []
        for part in _parts(event_ids):
            found += self._events(f"WHERE id IN ({_marks(part)})", part)
        return {event.id: event for event in found}

    def _events(self, where: str, parameters: Iterable[Any]) -> list[Event]:
        sql = f"SELECT {rows.EVENT} FROM events {where}"
        return [rows.event(row) for row in self._connections.read(sql, parameters)]

    # --- tasks ---

    def adopt(self, holder: str, tasks: Sequence[Task], now: int) -> list[Task]:
        with self._deciding(holder) as db:
            fresh = self._insert(db, tasks, "waiting", now)
        return [task for task in tasks if task.id in fresh]

    @staticmethod
    def _insert(db: Database, tasks: Sequence[Task], state: str, now: int) -> set[str]:
        """Inserts the tasks that aren't known, or are known as settled and were queued again; returns their ids."""
        fresh = set[str]()
        for task in tasks:
            # Conductor queues a task again only if it is to be worked on again (a rerun): that one waits anew.
            again = "state IN ('completed', 'gone')" if task.found_by == "queue" else "0"
            row = db.execute(
                "INSERT INTO tasks (id, workflow_id, workflow, reference_name, matches, scheduled_at,"
                " response_timeout, domain, found_by, state, broken, seen_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state, settled_at = NULL,"
                " scheduled_at = excluded.scheduled_at, matches = excluded.matches, broken = excluded.broken,"
                f" seen_at = excluded.seen_at WHERE {again} RETURNING id",
                (
                    task.id,
                    task.workflow_id,
                    task.workflow,
                    task.reference_name,
                    json.dumps(task.matches),
                    task.scheduled_at,
                    task.response_timeout,
                    task.domain,
                    task.found_by,
                    state,
                    task.broken,
                    now,
                ),
            ).fetchone()
            if row:
                fresh.add(task.id)
        return fresh

    def hand_over(self, tasks: Sequence[Task], now: int) -> None:
        with self._connections.transaction() as db:
            self._insert(db, tasks, "returned", now)

    def drop(self, holder: str, task_ids: Sequence[str], now: int) -> None:
        with self._deciding(holder) as db:
            db.conn.executemany(
                "UPDATE tasks SET state = 'gone', settled_at = ? WHERE id = ? AND state = 'waiting'",
                [(now, task_id) for task_id in task_ids],
            )

    def look_again(self, holder: str, task_ids: Sequence[str]) -> None:
        with self._deciding(holder) as db:
            db.conn.executemany(
                "UPDATE tasks SET state = 'waiting' WHERE id = ? AND state = 'returned'",
                [(task_id,) for task_id in task_ids],
            )

    # --- decisions ---

    def decide(
        self,
        holder: str,
        decisions: Sequence[Decision],
        expired: Sequence[str],
        now: int,
        claim_for: str | None,
        claim: int,
    ) -> list[Target]:
        claimed: list[Target] = []
        with self._deciding(holder) as db:
            for decision in decisions:
                for new in decision.targets:
                    mine = claim_for is not None and len(claimed) < claim
                    row = db.execute(
                        "INSERT INTO targets (event_id, kind, workflow, workflow_id, task_id, reference_name, version,"
                        " correlation_id, state, attempts, claimed_by, claimed_at, due_at, created_at)"
                        f" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {rows.TARGET}",
                        (
                            decision.event_id,
                            new.kind,
                            new.workflow,
                            new.workflow_id,
                            new.task_id,
                            new.reference_name,
                            new.version,
                            new.correlation_id,
                            "claimed" if mine else "pending",
                            1 if mine else 0,
                            claim_for if mine else None,
                            now if mine else None,
                            now,
                            now,
                        ),
                    ).fetchone()
                    if mine:
                        claimed.append(rows.target(row))
                    if new.task_id is not None:
                        db.execute("UPDATE tasks SET state = 'taken' WHERE id = ?", (new.task_id,))
                settled = decision.held == 0 and decision.status != "pending"
                db.execute(
                    "UPDATE events SET decided_at = coalesce(decided_at, ?), held = ?, status = ?, settled_at = ?"
                    " WHERE id = ?",
                    (now, decision.held, decision.status, now if settled else None, decision.event_id),
                )
            for event_id in expired:
                db.execute("UPDATE events SET held = 0 WHERE id = ?", (event_id,))
                self._follow(db, event_id, now, free_again=False)
        return claimed

    # --- claims and results ---

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
            for part in _parts(ids):
                claimed += (
                    rows.target(row)
                    for row in db.execute(
                        "UPDATE targets SET state = 'claimed', attempts = attempts + 1, claimed_by = ?, claimed_at = ?"
                        f" WHERE id IN ({_marks(part)}) AND (state = 'pending' AND due_at <= ?"
                        f" OR state = 'claimed' AND claimed_at < ?) RETURNING {rows.TARGET}",
                        (worker, now, *part, now, expired_before),
                    ).fetchall()
                )
        return sorted(claimed, key=lambda target: target.id)

    def settle(self, worker: str, results: Sequence[Result], now: int) -> bool:
        touched: dict[str, bool] = {}  # event id → whether one of its completions has ended
        for_decider = False
        with self._connections.transaction() as db:
            for result in results:
                target = result.target
                final = result.state in ("done", "cancelled", "failed")
                row = db.execute(
                    "UPDATE targets SET state = ?, error = ?, workflow_id = coalesce(?, workflow_id), due_at = ?,"
                    " not_sent = ?, settled_at = ?"
                    " WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ? RETURNING id",
                    (
                        result.state,
                        result.error,
                        result.workflow_id,
                        result.due_at or target.due_at,
                        result.not_sent,
                        now if final else None,
                        target.id,
                        worker,
                        target.attempts,
                    ),
                ).fetchone()
                if row is None or not final:  # the claim went to another worker, whose result counts
                    continue
                touched[target.event_id] = touched.get(target.event_id, False) or target.kind == "complete"
                if target.task_id is not None:
                    state = {"done": "completed", "cancelled": "gone", "failed": "returned"}[result.state]
                    for_decider |= state == "returned"
                    db.execute(
                        "UPDATE tasks SET state = ?, settled_at = ? WHERE id = ? AND state = 'taken'",
                        (state, None if state == "returned" else now, target.task_id),
                    )
            for event_id, completion in touched.items():
                for_decider |= self._follow(db, event_id, now, completion)
        return for_decider

    @staticmethod
    def _follow(db: Database, event_id: str, now: int, free_again: bool) -> bool:
        """Sets the event's status after its targets'; with `free_again` it is free if all its takers turned out gone.

        Returns whether it is.
        """
        targets = db.execute("SELECT DISTINCT kind, state FROM targets WHERE event_id = ?", (event_id,)).fetchall()
        row = db.execute("SELECT held FROM events WHERE id = ?", (event_id,)).fetchone()
        if row is None:
            return False
        held: int = row[0]
        states = {state for _, state in targets}
        # Its starts, whatever becomes of them, don't use up the hold.
        freed = free_again and held == 0 and {state for kind, state in targets if kind == "complete"} == {"cancelled"}
        live = bool(states & {"pending", "claimed"})
        if freed:
            held = 2
        elif live:
            return False
        over = "failed" if "failed" in states else "delivered" if "done" in states else "expired"
        status = "pending" if live or (held and over != "failed") else over
        db.execute(
            "UPDATE events SET held = ?, status = ?, settled_at = ? WHERE id = ?",
            (held, status, None if held else now, event_id),
        )
        return freed

    def renew_claim(self, worker: str, target: Target, now: int) -> bool:
        with self._connections.transaction() as db:
            row = db.execute(
                "UPDATE targets SET claimed_at = ?"
                " WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ? RETURNING id",
                (now, target.id, worker, target.attempts),
            ).fetchone()
        return row is not None

    def hurry(self, now: int) -> None:
        with self._connections.transaction() as db:
            # A try whose answer was lost may still be taking effect: those keep their time.
            db.execute(
                "UPDATE targets SET due_at = ? WHERE state = 'pending' AND due_at > ? AND not_sent = 1", (now, now)
            )

    def next_due(self) -> int | None:
        due_at: int | None = self._connections.read("SELECT min(due_at) FROM targets WHERE state = 'pending'")[0][0]
        return due_at

    # --- workflows ---

    def workflow(self, workflow_id: str) -> Workflow | None:
        sql = "SELECT id, version, root_id, root_started_at, root_correlation_id FROM workflows WHERE id = ?"
        found = self._connections.read(sql, (workflow_id,))
        return Workflow(*found[0]) if found else None

    def remember_workflows(self, workflows: Sequence[Workflow]) -> None:
        with self._connections.transaction() as db:
            db.conn.executemany(
                "INSERT OR REPLACE INTO workflows (id, version, root_id, root_started_at, root_correlation_id)"
                " VALUES (?, ?, ?, ?, ?)",
                [(w.id, w.version, w.root_id, w.root_started_at, w.root_correlation_id) for w in workflows],
            )

    # --- upkeep ---

    def checkpoint(self) -> None:
        with self._connections.reading() as db:
            pages = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
            # Under constant load the log never comes to an end by itself. This one waits for readers and holds up
            # writers meanwhile, so it mustn't wait for a backup.
            if pages > _LONG_LOG:
                db.execute("PRAGMA busy_timeout=50")
                try:
                    db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                finally:
                    db.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT * 1000)}")

    def prune(self, before: int, limit: int) -> int:
        with self._connections.transaction() as db:
            ids = [
                row[0]
                for row in db.execute(
                    "SELECT id FROM events WHERE settled_at < ? AND seq < (SELECT max(seq) FROM events)"
                    " ORDER BY settled_at LIMIT ?",
                    (before, limit),
                )
            ]
            for part in _parts(ids):
                db.execute(f"DELETE FROM targets WHERE event_id IN ({_marks(part)})", part)
                db.execute(f"DELETE FROM events WHERE id IN ({_marks(part)})", part)
            tasks = db.execute(
                "SELECT id, workflow_id FROM tasks WHERE settled_at < ? ORDER BY settled_at LIMIT ?", (before, limit)
            ).fetchall()
            for task_id, workflow_id in tasks:
                db.execute("DELETE FROM tasks WHERE id = ?", (task_id,))
                db.execute("DELETE FROM workflows WHERE id = ?", (workflow_id,))
            db.execute("DELETE FROM delivery_counts WHERE hour < ?", (before,))
        return len(ids)


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _MANY):
        yield values[start : start + _MANY]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
