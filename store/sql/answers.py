"""Answers to senders that wait for the end of a workflow: one row per event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from store.answers import (
    ANSWERING,
    NO_WORKFLOW,
    Answer,
    AnsweringWorkflow,
    OpenAnswer,
    TargetOf,
    Waited,
    workflow_of,
)
from store.delivery_records import AnswerWanted
from store.records import NewEvent
from store.rules.transitions import LIVE
from store.sql import rows, storable
from store.sql.columns import Columns, number, text
from store.sql.database import Database, Signals, Transaction

READ_AT_ONCE = 16
"""Answers that are read together: each may have a megabyte."""
_INTO = "bridge.answers (event_id, webhook, output, wait_until)"
# Events could be pruned meanwhile, and their answers would outlive them. Locked in the order in
# which all others lock them, or these transactions and the leader's could deadlock.
_LOCK_EVENTS = "SELECT 1 FROM bridge.events WHERE id = ANY(%s) ORDER BY seq FOR KEY SHARE"
_WANT = f"""
INSERT INTO {_INTO} SELECT id, webhook, %s, %s FROM bridge.events WHERE id = %s
ON CONFLICT (event_id) DO UPDATE SET output = excluded.output,
    wait_until = excluded.wait_until
WHERE answers.answered_at IS NULL AND answers.wait_until < excluded.wait_until
"""
_OPEN = """
SELECT event_id, webhook, output, wait_until FROM bridge.answers
WHERE answered_at IS NULL AND (wait_until, event_id) > (%s, %s) ORDER BY wait_until, event_id LIMIT %s
"""
_STATES = sorted(
    (kind, state)
    for kind in ANSWERING
    for state in (*LIVE, "done", "skipped")
    if kind == "message" or state != "queued"
)
# One index look-up for each kind and state, however many targets an event has.
_TARGETS = f"""
WITH possible (kind, state) AS (VALUES {", ".join(map(str, _STATES))}), firsts (id) AS (
    SELECT (
        SELECT min(t.id) FROM bridge.targets t
        WHERE t.event_id = asked.event_id AND t.kind = possible.kind AND t.state = possible.state
    ) FROM unnest(%s::text[]) AS asked (event_id) CROSS JOIN possible
)
SELECT t.event_id, t.id, t.kind, t.state, t.workflow_id, t.workflow
FROM firsts JOIN bridge.targets t ON t.id = firsts.id
"""
_EVENTS = "SELECT id, resolved_by, status, settled_at FROM bridge.events WHERE id = ANY(%s)"
_RECORD = """
UPDATE bridge.answers SET outcome = %s, workflow_id = %s, answered_at = %s, body = %s
WHERE event_id = %s AND answered_at IS NULL
"""
REOPEN = f"""
UPDATE bridge.answers SET outcome = NULL, answered_at = NULL
WHERE event_id = %s AND outcome IN ({", ".join(f"'{outcome}'" for outcome in NO_WORKFLOW.values())})
"""
"""For an event that a replay has resolved: the next to repeat its delivery gets the replay's
answer."""
_ANSWER = Columns(event_id=text, outcome=text, workflow_id=text, body=text, answered_at=number)
_OF_EVENTS = (
    f"SELECT {_ANSWER.names} FROM bridge.answers WHERE event_id = ANY(%s) AND answered_at IS NOT"
    " NULL LIMIT %s"
)
_WAITED = f"SELECT output, wait_until, {_ANSWER.names} FROM bridge.answers WHERE event_id = %s"


def are_wanted(events: Iterable[NewEvent]) -> bool:
    """Whether a sender waits for the answer to one of these events."""
    return any(event.answer is not None for event in events)


def want(transaction: Transaction, events: Sequence[NewEvent], stored: set[str]) -> None:
    """Opens the answers that are wanted to these events; `stored`: the ids of those that weren't
    known."""
    new_rows = [
        (
            event.id,
            event.webhook,
            storable.text_without_nul(event.answer.output),
            event.answer.wait_until,
        )
        for event in events
        if event.answer is not None and event.id in stored
    ]
    transaction.insert(_INTO, new_rows)


class Answers:
    """`Deliveries.append` opens an answer for each event with an `answer` that wasn't known.

    A worker looks for workflows to watch with `open` and `workflows`, and records how they ended. A
    relay learns by the topic `answers`. Answers are deleted with their events. Rows of open answers
    stay when their senders no longer wait: a retry reopens them. `until` is as in `Deliveries`.
    """

    def __init__(self, database: Database, signals: Signals):
        self._database = database
        self._signals = signals

    def want(self, wanted: Mapping[str, AnswerWanted], until: float = float("inf")) -> None:
        """Opens the answers to these events, by id, or extends the time of those that are open, and
        wakes the leader. Nothing changes for events that are answered or don't exist."""
        with self._database.transaction(until=until) as transaction:
            # Always in the same order, so that relays waiting for each other's rows can't deadlock.
            transaction.fetch_together(
                [
                    (_LOCK_EVENTS, (list(wanted),)),
                    *(
                        (_WANT, (storable.text_without_nul(one.output), one.wait_until, event_id))
                        for event_id, one in sorted(wanted.items())
                    ),
                ]
            )
        self._signals.notify("events")

    def open(self, now: int, step: int = rows.STEP) -> list[OpenAnswer]:
        """The open answers whose senders may still wait, by the end of their time; read in steps of
        so many. The cost doesn't grow with those whose time has ended."""
        found: list[OpenAnswer] = []
        after = (now, "")
        while len(page := self._database.read(_OPEN, (*after, step))) == step:
            found += (OpenAnswer(*row) for row in page)
            after = (found[-1].wait_until, found[-1].event_id)
        return found + [OpenAnswer(*row) for row in page]

    def workflows(self, event_ids: Sequence[str]) -> dict[str, AnsweringWorkflow | str]:
        """event id → the workflow whose end is the answer; if the event ended without one, the
        outcome (`NO_WORKFLOW`).

        Of an event that a replay has resolved it is the replay's workflow. Events for which that
        isn't known yet, or that don't exist, are left out. See `store.answers.workflow_of`.
        """
        found: dict[str, AnsweringWorkflow | str] = {}
        for step in rows.steps(event_ids):
            targets: dict[str, list[TargetOf]] = {}
            # Targets last: what an event has by the time it is settled must not be missed.
            events = self._database.read(_EVENTS, (list(step),))
            of = {event_id: replay or event_id for event_id, replay, *_ in events}
            for event_id, *target in self._database.read(_TARGETS, (list(of.values()),)):
                targets.setdefault(event_id, []).append(TargetOf(*target))
            for event_id, _, status, settled_at in events:
                own = targets.get(of[event_id], ())
                is_known, workflow = workflow_of(settled_at is not None, own)
                if is_known:
                    found[event_id] = workflow or NO_WORKFLOW.get(status, "ignored")
        return found

    def record(self, answers: Sequence[Answer]) -> None:
        """Records answers, in one transaction, and tells the relays. An event's first answer
        counts; later ones, and those that no sender asked for, are ignored."""
        if not answers:
            return
        now = self._database.now()
        in_order = sorted(answers, key=lambda answer: answer.event_id)
        with self._database.transaction() as transaction:
            transaction.fetch_together([(_RECORD, _values(answer, now)) for answer in in_order])
        self._signals.notify("answers")

    def of_events(
        self, event_ids: Sequence[str], most: int = READ_AT_ONCE, until: float = float("inf")
    ) -> dict[str, Answer]:
        """event id → its answer, of up to so many that have been answered. Bodies may be large."""
        found = self._database.read(_OF_EVENTS, (list(event_ids), most), until=until)
        return {answer.event_id: answer for answer in map(_answer, found)}

    def waited(self, event_id: str) -> Waited | None:
        """What the sender of this event waits or waited for; None if it didn't wait."""
        for output, wait_until, *answer in self._database.read(_WAITED, (event_id,)):
            wanted = AnswerWanted(output, wait_until)
            return Waited(wanted, _answer(answer) if answer[-1] is not None else None)
        return None


def _values(answer: Answer, now: int) -> tuple[object, ...]:
    """The parameters of `_RECORD`."""
    outcome = storable.text_without_nul(answer.outcome)
    workflow_id = (
        None if answer.workflow_id is None else storable.text_without_nul(answer.workflow_id)
    )
    return outcome, workflow_id, now, answer.body, answer.event_id


def _answer(row: Sequence[Any]) -> Answer:
    """From the columns of `_ANSWER`."""
    return Answer(**_ANSWER.for_people(row))
