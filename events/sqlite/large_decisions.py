"""Decisions with very many targets, written in parts."""

from __future__ import annotations

from events import rows as shared
from events import transitions
from events.records import Decision
from events.sqlite import rows
from events.sqlite.connections import Connections
from events.sqlite.leadership import deciding
from events.sqlite.targets import insert_target

_WRITING = f"held > 0 AND held = {rows.HOLDS.index('writing')}"
_DROPPED = 10
"""Parts that are deleted in one transaction, of decisions that don't stand."""


class LargeDecisions:
    """Implements that part of `events.store.Decisions`."""

    _connections: Connections

    def record_large(self, holder: str, decision: Decision, now: int) -> None:
        for step in shared.large_parts(decision):
            with deciding(self._connections, holder) as db:
                db.conn.executemany(
                    "INSERT OR REPLACE INTO decision_parts (event_id, number, targets) VALUES (?, ?, ?)", step
                )
        with deciding(self._connections, holder) as db:
            db.execute(
                "UPDATE events SET held = ?, decided_at = ?"
                f" WHERE id = ? AND coalesce(decided_at, 0) = {shared.ASIDE_UNDECIDED}",
                (rows.HOLDS.index("writing"), now, decision.event_id),
            )

    def write_large(self, holder: str, now: int) -> bool:
        if not self._connections.read("SELECT 1 FROM decision_parts LIMIT 1") and not self._writing():
            return False
        with deciding(self._connections, holder) as db:
            writing = db.execute(f"SELECT id FROM events WHERE {_WRITING} ORDER BY seq LIMIT 1").fetchone()
            if writing is None:  # what is left belongs to no decision that stands
                db.execute(
                    "DELETE FROM decision_parts WHERE (event_id, number) IN"
                    " (SELECT event_id, number FROM decision_parts LIMIT ?)",
                    (_DROPPED,),
                )
                return True
            event_id = writing[0]
            part = db.execute(
                "SELECT number, targets FROM decision_parts WHERE event_id = ? ORDER BY number LIMIT 1", (event_id,)
            ).fetchone()
            if part is None:
                rows.change_event(db, event_id, transitions.event_after_parts(rows.states(db, event_id), now))
                return True
            number, targets = part
            for new in shared.targets_in(targets):
                made = insert_target(db, event_id, new, None, now, or_ignore=True)
                if made is not None and (state := transitions.task_after_decision(new)) is not None:
                    db.execute("UPDATE tasks SET state = ? WHERE id = ?", (state, new.task_id))
            db.execute("DELETE FROM decision_parts WHERE event_id = ? AND number = ?", (event_id, number))
        return True

    def _writing(self) -> bool:
        return bool(self._connections.read(f"SELECT 1 FROM events WHERE {_WRITING} LIMIT 1"))
