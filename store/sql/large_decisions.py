"""Decisions with very many targets, written in parts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from store.protocols import Signals
from store.records import Decision, NewTarget, Target, Term
from store.rules import transitions
from store.sql import rows
from store.sql.database import Database, Deciding, Transaction
from store.sql.event_rows import TAKE, EventRows
from store.sql.holds import WRITING
from store.sql.lanes import advance, hurry, lanes_of
from store.sql.once_keys import take_free

_RECORD = "ON CONFLICT (event_id, number) DO UPDATE SET targets = excluded.targets"
_STANDS = f"""
UPDATE bridge.events SET held = {WRITING}, decided_at = %s, decided_by = %s, scan_at = %s
WHERE id = %s AND coalesce(decided_at, 0) = {rows.ASIDE_UNDECIDED}
"""
_PARTS = "SELECT number FROM bridge.decision_parts WHERE event_id = %s LIMIT %s"
_DROP = "DELETE FROM bridge.decision_parts WHERE event_id = %s AND number = ANY(%s)"
_DROP_ANY = """
DELETE FROM bridge.decision_parts WHERE (event_id, number) IN (
    SELECT event_id, number FROM bridge.decision_parts LIMIT %s
)
"""
_WRITING = f"FROM bridge.held_events h JOIN bridge.events e ON e.seq = h.seq WHERE h.held = {WRITING}"
# All of them, which are few: with a limit, PostgreSQL might look for the first among all events.
_NEXT = f"SELECT e.id {_WRITING} AND NOT e.id = ANY(%s) ORDER BY h.seq"
_IS_ANY = f"""
SELECT EXISTS (SELECT 1 FROM bridge.decision_parts) OR EXISTS (SELECT 1 {_WRITING} AND NOT e.id = ANY(%s))
"""
_UNWRITTEN = f"""
SELECT e.seq, p.number, e.id, p.targets FROM bridge.held_events h JOIN bridge.events e ON e.seq = h.seq
JOIN bridge.decision_parts p ON p.event_id = e.id
WHERE h.held = {WRITING} AND (e.seq, p.number) > (%s, %s)
ORDER BY e.seq, p.number LIMIT %s
"""
_FIRST_PART = "SELECT number, targets FROM bridge.decision_parts WHERE event_id = %s ORDER BY number LIMIT 1"
_DROPPED = 10
"""Parts of uncommitted decisions deleted per transaction."""


class LargeDecisions:
    """Decisions with more targets than should be written in one transaction.

    Both methods raise LeadershipLost once another worker is leader. One row per part.
    """

    def __init__(self, database: Database, leadership: Deciding, events: EventRows, signals: Signals):
        self._database = database
        self._leadership = leadership
        self._events = events
        self._signals = signals

    def record(self, term: Term, decision: Decision, now: int) -> None:
        """Records the decision, which must not hold the event, in steps: it stands once the last one is committed.

        From then on its event is decided, and `write_next` writes its targets.
        """
        while self._drop_parts(term, decision.event_id):  # left by an earlier try with other parts
            pass
        messages = [target for target in decision.targets if target.lane is not None]
        others = tuple(target for target in decision.targets if target.lane is None)
        for step in rows.large_parts(replace(decision, targets=others)):
            with self._leadership.deciding(term) as transaction:
                transaction.insert("bridge.decision_parts (event_id, number, targets)", step, _RECORD)
        with self._leadership.deciding(term) as transaction:
            stands = transaction.write(_STANDS, (now, term.holder, decision.scan_at, decision.event_id))
            if stands and messages:
                # Not in a part: later events are decided in between, and their messages must come behind these.
                self._add(transaction, decision.event_id, messages, now)
        if messages:
            self._signals.notify("targets")

    def _add(self, transaction: Transaction, event_id: str, new: Sequence[NewTarget], now: int) -> list[Target]:
        """Inserts new targets, except those whose task another event has taken."""
        self._events.lock_lanes(transaction, lanes_of(new))
        made = self._events.add_missing(transaction, [rows.new_target_row(event_id, one, None, now) for one in new])
        take_free(transaction, made)
        advance(transaction, lanes_of(new), now)
        hurry(transaction, new, now)
        return made

    def _drop_parts(self, term: Term, event_id: str) -> bool:
        """Deletes some parts of an uncommitted decision; returns whether there were any."""
        found = self._database.read(_PARTS, (event_id, _DROPPED))
        if found:
            with self._leadership.deciding(term) as transaction:
                transaction.write(_DROP, (event_id, [number for (number,) in found]))
        return bool(found)

    def write_next(self, term: Term, now: int, without: Collection[str] = ()) -> bool:
        """Writes the next part of a recorded decision; False if there is nothing left to write.

        Skips the events `without` (by id). Raises PartRefused if the database refuses this decision's part.

        A new leader calls this until it returns False, before it reads which tasks wait. Parts of a decision that
        wasn't recorded completely are deleted; its event is undecided.
        """
        left_out = (list(without),)
        if not self._database.read(_IS_ANY, left_out)[0][0]:
            return False
        with self._leadership.deciding(term) as transaction:
            found = transaction.fetch(_NEXT, left_out)
            if found:
                with rows.part_of(found[0][0]):
                    self._write_part(transaction, found[0][0], now)
            elif without and transaction.fetch(f"SELECT 1 {_WRITING} LIMIT 1"):
                return False
            else:  # the remaining parts belong to uncommitted decisions
                transaction.write(_DROP_ANY, (_DROPPED,))
                return True
        self._signals.notify("targets")
        return True

    def promised_tasks(self) -> Iterator[str]:
        """The ids of the tasks in parts that `write_next` has yet to write, read a bounded number of parts at a time.

        Each has its event, and waits for no other, though its state is still `waiting`.
        """
        place = (0, -1)
        while found := self._database.read(_UNWRITTEN, (*place, rows.PARTS_READ)):
            for seq, number, event_id, part in found:
                place = (seq, number)
                yield from rows.tasks_in(event_id, part)

    def _write_part(self, transaction: Transaction, event_id: str, now: int) -> None:
        """Writes the event's next part or, after the last one, what becomes of the event."""
        # A worker that records results for the event has finished, or waits for this.
        locked = self._events.lock(transaction, [event_id])
        part = transaction.fetch(_FIRST_PART, (event_id,))
        if not part:
            states = self._events.states_of(transaction, [event_id])[event_id]
            changes = {event_id: transitions.event_after_parts(states, now)}
            self._events.change(transaction, changes)
            self._events.resolve(transaction, {event_id: locked[event_id].origin}, changes)
            return
        [(number, text)] = part
        made = self._add(transaction, event_id, rows.targets_in(text), now)
        transaction.write(TAKE, (sorted(target.task_id for target in made if target.task_id is not None),))
        transaction.write(_DROP, (event_id, [number]))
