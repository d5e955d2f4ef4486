"""Decisions with very many targets, written in parts."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from store import rows, transitions
from store.postgres.connections import Connection, Connections
from store.postgres.event_changes import changing_events, lock_events, states_of
from store.postgres.leadership import deciding
from store.postgres.signals import PostgresSignals
from store.postgres.targets import columns, new_targets, take_free
from store.protocols import LargeDecisions
from store.records import Decision, Term
from store.sql.holds import WRITING

_WRITING = f"SELECT id FROM bridge.events WHERE held > 0 AND held = {WRITING}"
_NEXT = f"{_WRITING} AND id != ALL(%s) ORDER BY seq LIMIT 1"
_UNWRITTEN = f"""
SELECT e.seq, p.number, e.id, p.targets FROM bridge.events e JOIN bridge.decision_parts p ON p.event_id = e.id
WHERE e.held > 0 AND e.held = {WRITING} AND (e.seq, p.number) > (%s, %s)
ORDER BY e.seq, p.number LIMIT %s
"""
_DROPPED = 10
"""Parts of uncommitted decisions deleted per transaction."""


class PostgresLargeDecisions(LargeDecisions):
    """Large decisions on PostgreSQL."""

    def __init__(self, connections: Connections, signals: PostgresSignals):
        self._connections = connections
        self._signals = signals

    def record(self, term: Term, decision: Decision, now: int) -> None:
        while self._drop_parts(term, decision.event_id):  # left by an earlier try with other parts
            pass
        for step in rows.large_parts(decision):
            with deciding(self._connections, term) as connection:
                connection.write(
                    "INSERT INTO bridge.decision_parts (event_id, number, targets)"
                    " SELECT * FROM unnest(%b::text[], %b::int[], %b::text[])"
                    " ON CONFLICT (event_id, number) DO UPDATE SET targets = excluded.targets",
                    columns(step),
                )
        with deciding(self._connections, term) as connection:
            connection.write(
                "UPDATE bridge.events SET held = %s, decided_at = %s"
                f" WHERE id = %s AND coalesce(decided_at, 0) = {rows.ASIDE_UNDECIDED}",
                (WRITING, now, decision.event_id),
            )

    def _drop_parts(self, term: Term, event_id: str) -> bool:
        """Deletes some parts of an uncommitted decision; returns whether there were any."""
        found = self._connections.read(
            "SELECT number FROM bridge.decision_parts WHERE event_id = %s LIMIT %s", (event_id, _DROPPED)
        )
        if found:
            with deciding(self._connections, term) as connection:
                connection.write(
                    "DELETE FROM bridge.decision_parts WHERE event_id = %s AND number = ANY(%s)",
                    (event_id, [number for (number,) in found]),
                )
        return bool(found)

    def write_next(self, term: Term, now: int, without: Collection[str] = ()) -> bool:
        left_out = (list(without),)
        parts, writing = self._connections.read_together(
            ("SELECT 1 FROM bridge.decision_parts LIMIT 1", ()), (_NEXT, left_out)
        )
        if not parts and not writing:
            return False
        with deciding(self._connections, term) as connection:
            found = connection.fetch(_NEXT, left_out)
            if found:
                with rows.part_of(found[0][0]):
                    self._write_part(connection, found[0][0], now)
            elif without and connection.fetch(f"{_WRITING} LIMIT 1"):
                return False
            else:  # the remaining parts belong to uncommitted decisions
                connection.write(
                    "DELETE FROM bridge.decision_parts WHERE (event_id, number) IN"
                    " (SELECT event_id, number FROM bridge.decision_parts LIMIT %s)",
                    (_DROPPED,),
                )
                return True
        self._signals.tell("targets")
        return True

    def promised_tasks(self) -> Iterator[str]:
        place = (0, -1)
        while found := self._connections.read(_UNWRITTEN, (*place, rows.PARTS_READ)):
            for seq, number, event_id, part in found:
                place = (seq, number)
                yield from rows.tasks_in(event_id, part)

    def _write_part(self, connection: Connection, event_id: str, now: int) -> None:
        """Writes the event's next part or, after the last one, what becomes of the event."""
        # A worker that records results for the event has finished, or waits for this.
        lock_events(connection, [event_id])
        part = connection.fetch(
            "SELECT number, targets FROM bridge.decision_parts WHERE event_id = %s ORDER BY number LIMIT 1",
            (event_id,),
        )
        if not part:
            states = states_of(connection, [event_id])[event_id]
            change = transitions.event_after_parts(states, now)
            connection.write(*changing_events({event_id: change}, now))
            return
        [(number, text)] = part
        new_rows = [rows.new_target_row(event_id, new, None, now) for new in rows.targets_in(text)]
        made = [rows.target(row) for row in connection.fetch(*new_targets(new_rows, or_ignore=True))]
        take_free(connection, sorted(made, key=lambda target: target.id))
        if taken := sorted(target.task_id for target in made if target.task_id is not None):
            connection.write("UPDATE bridge.tasks SET state = 'taken' WHERE id = ANY(%s)", (taken,))
        connection.write("DELETE FROM bridge.decision_parts WHERE event_id = %s AND number = %s", (event_id, number))
