"""Decisions with very many targets, written in parts."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from store import rows as shared
from store import transitions
from store.protocols import LargeDecisions
from store.records import Decision, Term
from store.sql.holds import WRITING
from store.sqlite import rows
from store.sqlite.connections import Connection, Connections
from store.sqlite.leadership import deciding
from store.sqlite.parts import marks
from store.sqlite.targets import insert_target

_WRITING = f"SELECT id FROM events WHERE held > 0 AND held = {WRITING}"
_UNWRITTEN = f"""
SELECT e.seq, p.number, e.id, p.targets FROM events e JOIN decision_parts p ON p.event_id = e.id
WHERE e.held > 0 AND e.held = {WRITING} AND (e.seq, p.number) > (?, ?)
ORDER BY e.seq, p.number LIMIT ?
"""
_DROPPED = 10
"""Parts of uncommitted decisions deleted per transaction."""


class SqliteLargeDecisions(LargeDecisions):
    """Large decisions on SQLite."""

    def __init__(self, connections: Connections):
        self._connections = connections

    def record(self, term: Term, decision: Decision, now: int) -> None:
        while self._drop_parts(term, decision.event_id):  # left by an earlier try with other parts
            pass
        for step in shared.large_parts(decision):
            with deciding(self._connections, term) as db:
                db.executemany(
                    "INSERT OR REPLACE INTO decision_parts (event_id, number, targets) VALUES (?, ?, ?)", step
                )
        with deciding(self._connections, term) as db:
            db.execute(
                "UPDATE events SET held = ?, decided_at = ?"
                f" WHERE id = ? AND coalesce(decided_at, 0) = {shared.ASIDE_UNDECIDED}",
                (WRITING, now, decision.event_id),
            )

    def _drop_parts(self, term: Term, event_id: str) -> bool:
        """Deletes some parts of an uncommitted decision; returns whether there were any."""
        found = self._connections.read(
            "SELECT event_id, number FROM decision_parts WHERE event_id = ? LIMIT ?", (event_id, _DROPPED)
        )
        if found:
            with deciding(self._connections, term) as db:
                db.executemany("DELETE FROM decision_parts WHERE event_id = ? AND number = ?", found)
        return bool(found)

    def write_next(self, term: Term, now: int, without: Collection[str] = ()) -> bool:
        if not self._connections.read("SELECT 1 FROM decision_parts LIMIT 1") and not self._next(without):
            return False
        with deciding(self._connections, term) as db:
            next_ = f"{_WRITING} AND id NOT IN ({marks(tuple(without))}) ORDER BY seq LIMIT 1"
            writing = db.execute(next_, tuple(without)).fetchone()
            if writing is not None:
                with shared.part_of(writing[0]):
                    self._write_part(db, writing[0], now)
                return True
            if without and db.execute(f"{_WRITING} LIMIT 1").fetchone() is not None:
                return False
            db.execute(  # the remaining parts belong to uncommitted decisions
                "DELETE FROM decision_parts WHERE (event_id, number) IN"
                " (SELECT event_id, number FROM decision_parts LIMIT ?)",
                (_DROPPED,),
            )
        return True

    def promised_tasks(self) -> Iterator[str]:
        place = (0, -1)
        while found := self._connections.read(_UNWRITTEN, (*place, shared.PARTS_READ)):
            for seq, number, event_id, part in found:
                place = (seq, number)
                yield from shared.tasks_in(event_id, part)

    def _next(self, without: Collection[str]) -> bool:
        sql = f"{_WRITING} AND id NOT IN ({marks(tuple(without))}) LIMIT 1"
        return bool(self._connections.read(sql, tuple(without)))

    def _write_part(self, db: Connection, event_id: str, now: int) -> None:
        """Writes the event's next part or, after the last one, what becomes of the event."""
        part = db.execute(
            "SELECT number, targets FROM decision_parts WHERE event_id = ? ORDER BY number LIMIT 1", (event_id,)
        ).fetchone()
        if part is None:
            rows.change_event(db, event_id, transitions.event_after_parts(rows.states(db, event_id), now))
            return
        number, targets = part
        for new in shared.targets_in(targets):
            made = insert_target(db, event_id, new, None, now, or_ignore=True)
            if made is not None and (state := transitions.task_after_decision(new)) is not None:
                db.execute("UPDATE tasks SET state = ? WHERE id = ?", (state, new.task_id))
        db.execute("DELETE FROM decision_parts WHERE event_id = ? AND number = ?", (event_id, number))
