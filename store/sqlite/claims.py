"""Targets claimed by workers, and the results of their calls."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from store import pace, transitions, turns
from store.protocols import NO_PACES, Claims
from store.records import Result, Target
from store.rows import jumps
from store.sqlite import rows
from store.sqlite.connections import Connection, Connections
from store.sqlite.parts import marks, parts
from store.sqlite.signals import SqliteSignals

_DUE = "SELECT id, webhook FROM targets WHERE state = 'pending' AND due_at <= ? ORDER BY due_at, id LIMIT ?"
_EXPIRED = "SELECT id FROM targets WHERE state = 'claimed' AND claimed_at < ? ORDER BY claimed_at, id LIMIT ?"
_PENDING = "state = 'pending'"
_HAS_DUE = (
    "(SELECT min(due_at) FROM targets WHERE state = 'pending' AND webhook = value) <= :now"
    " AND value NOT IN ({}) LIMIT :most"
)
_WEBHOOKS_AFTER = f"{jumps('webhook', 'targets', _PENDING, after=':after')} AND {_HAS_DUE}"
_WEBHOOKS_TO = f"{jumps('webhook', 'targets', _PENDING, to=':after')} AND {_HAS_DUE}"
_DUE_OF_WEBHOOK = (
    "SELECT id FROM targets WHERE state = 'pending' AND webhook = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?"
)
_NEXT_TURN = (
    "SELECT min(max(next_at, (SELECT min(due_at) FROM targets WHERE state = 'pending' AND targets.webhook ="
    " paces.webhook))) FROM paces WHERE webhook IN ({})"
)
_HURRIED = 1000
"""Targets made due per transaction."""


class SqliteClaims(Claims):
    """Claims on SQLite."""

    def __init__(self, connections: Connections, signals: SqliteSignals):
        self._connections = connections
        self._signals = signals
        self._served = ""
        """The webhook after which the next round over due targets starts."""

    def claim(
        self, worker: str, now: int, expired_before: int, limit: int, paces: Mapping[str, float] = NO_PACES
    ) -> list[Target]:
        # Look before beginning a write transaction: most of the time there is nothing.
        due = self._due(now, limit, paces)
        expired = [target_id for (target_id,) in self._connections.read(_EXPIRED, (expired_before, limit))]
        if not any(due.values()) and not expired:
            return []
        claimed: list[Target] = []
        with self._connections.transaction() as db:
            turn_of = dict(db.execute("SELECT webhook, next_at FROM paces").fetchall()) if paces.keys() & due else {}
            may = {w: pace.allowed(rate, turn_of.get(w, 0.0), now) for w, rate in paces.items() if w in due}
            webhook_of = {target_id: w for w, ids in due.items() for target_id in ids[: may.get(w)]}
            chosen = [*expired, *turns.in_turn([ids[: may.get(w)] for w, ids in due.items()])][:limit]
            for part in parts(chosen):
                claimed += (
                    rows.target(row)
                    for row in db.execute(
                        "UPDATE targets SET state = 'claimed', attempts = attempts + 1, claimed_by = ?, claimed_at = ?"
                        f" WHERE id IN ({marks(part)}) AND (state = 'pending' AND due_at <= ?"
                        f" OR state = 'claimed' AND claimed_at < ?) RETURNING {rows.TARGET}",
                        (worker, now, *part, now, expired_before),
                    ).fetchall()
                )
            served = Counter(webhook_of[target.id] for target in claimed if target.id in webhook_of)
            db.executemany(
                "INSERT INTO paces (webhook, next_at) VALUES (?, ?)"
                " ON CONFLICT (webhook) DO UPDATE SET next_at = excluded.next_at",
                [(w, pace.after(served[w], paces[w], turn_of.get(w, 0.0), now)) for w in may if served[w]],
            )
        self._served = turns.last_served(list(due), served)
        return sorted(claimed, key=lambda target: target.id)

    def _due(self, now: int, limit: int, paces: Collection[str]) -> dict[str, list[int]]:
        """webhook → its first due targets, longest due first; webhooks in the order of their turns."""
        due: dict[str, list[int]] = {}
        first = self._connections.read(_DUE, (now, limit + 1))
        if len(first) <= limit:
            for target_id, webhook in first:
                due.setdefault(webhook, []).append(target_id)
            return due
        # There are more than are claimed at once: webhooks take turns, except those whose pace allows no call now.
        blocked = [w for (w,) in self._connections.read("SELECT webhook FROM paces WHERE next_at > ?", (now,))]
        blocked = [webhook for webhook in blocked if webhook in paces]
        webhooks = self._webhooks_with_due(now, blocked)
        share = turns.share(limit, len(webhooks))
        for webhook in webhooks:
            found = self._connections.read(_DUE_OF_WEBHOOK, (webhook, now, share))
            due[webhook] = [target_id for (target_id,) in found]
        # Unused shares go to the other webhooks.
        for target_id, webhook in first:
            if webhook in due and webhook not in paces and target_id not in due[webhook]:
                due[webhook].append(target_id)
        return due

    def _webhooks_with_due(self, now: int, blocked: Sequence[str]) -> list[str]:
        """The webhooks with due targets whose turn is next, except blocked ones."""
        names = {f"blocked{number}": webhook for number, webhook in enumerate(blocked)}
        values = {"after": self._served, "now": now, "most": turns.WEBHOOKS, **names}
        listed = ", ".join(f":{name}" for name in names)
        found = [webhook for (webhook,) in self._connections.read(_WEBHOOKS_AFTER.format(listed), values)]
        if len(found) < turns.WEBHOOKS:
            found += [webhook for (webhook,) in self._connections.read(_WEBHOOKS_TO.format(listed), values)]
        return found[: turns.WEBHOOKS]

    def renew(self, worker: str, target: Target, now: int) -> bool:
        with self._connections.transaction() as db:
            row = db.execute(
                "UPDATE targets SET claimed_at = ?"
                " WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ? RETURNING id",
                (now, target.id, worker, target.attempts),
            ).fetchone()
        return row is not None

    def record_results(self, worker: str, results: Sequence[Result], now: int) -> None:
        taker_ended: dict[str, bool] = {}  # keyed by the ids of events with a target that ended
        for_decider = False
        with self._connections.transaction() as db:
            for result in results:
                if not _record(db, worker, result, now):  # another claim's result counts
                    continue
                target = result.target
                if result.state in transitions.ENDED:
                    if target.once_key is not None:  # those that waited for it needn't wait any more
                        db.execute(
                            "UPDATE targets SET due_at = ? WHERE id IN (SELECT id FROM targets"
                            " WHERE once_key = ? AND state = 'pending' AND due_at > ? LIMIT ?)",
                            (now, target.once_key, now, _HURRIED),
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
            self._signals.tell("events")

    def give_back(self, worker: str, targets: Sequence[Target], now: int) -> None:
        with self._connections.transaction() as db:
            db.executemany(
                "UPDATE targets SET state = 'pending', due_at = ?, attempts = attempts - 1"
                " WHERE id = ? AND state = 'claimed' AND claimed_by = ? AND attempts = ?",
                [(now, target.id, worker, target.attempts) for target in targets],
            )

    def hurry(self, now: int) -> None:
        # A try with a lost answer may still be taking effect, so those targets keep their due time.
        hurried = True
        while hurried:
            with self._connections.transaction() as db:
                hurried = bool(
                    db.execute(
                        "UPDATE targets SET due_at = ? WHERE id IN (SELECT id FROM targets"
                        " WHERE state = 'pending' AND due_at > ? AND not_sent = 1 LIMIT ?) RETURNING 1",
                        (now, now, _HURRIED),
                    ).fetchall()
                )

    def next_due(self, paces: Mapping[str, float] = NO_PACES) -> int | None:
        if not paces:
            due_at: int | None = self._connections.read("SELECT min(due_at) FROM targets WHERE state = 'pending'")[0][0]
            return due_at
        turn: float | None = self._connections.read(_NEXT_TURN.format(marks(tuple(paces))), tuple(paces))[0][0]
        return None if turn is None else math.ceil(turn)


def _record(db: Connection, worker: str, result: Result, now: int) -> bool:
    """Writes the target's new state; returns whether its claim still stood."""
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
