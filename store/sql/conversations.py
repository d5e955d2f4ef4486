"""Running workflows that were given messages: what they have left unread when they end goes back into its lane."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from store.records import Result
from store.rules.transitions import event_after_return
from store.sql import storable
from store.sql.database import Database, Signals, Transaction
from store.sql.event_rows import EventRows
from store.sql.keys import advance

_COLUMNS = "workflow_id, workflow, lane, first_target"
_OPEN = f"SELECT {_COLUMNS} FROM bridge.conversations ORDER BY workflow_id"
_ONE = f"SELECT {_COLUMNS} FROM bridge.conversations WHERE workflow_id = %s"
_GIVEN = """
SELECT id, event_id FROM bridge.targets WHERE lane = %s AND id >= %s AND state = 'done' AND workflow_id = %s ORDER BY id
"""
_QUEUE = "UPDATE bridge.targets SET state = 'queued' WHERE state = 'pending' AND lane = %s AND id > %s"
_TAKE_BACK = """
UPDATE bridge.targets SET state = 'queued', settled_at = NULL, error = %s
WHERE id = ANY(%s) AND state = 'done' AND workflow_id = %s RETURNING event_id
"""
_CLOSE = """
DELETE FROM bridge.conversations WHERE workflow_id = %s AND NOT EXISTS (
    SELECT 1 FROM bridge.targets
    WHERE lane = %s AND id >= %s AND state = 'done' AND workflow_id = %s AND NOT id = ANY(%s)
)
"""


class Conversation(NamedTuple):
    """A workflow that was given messages, and hasn't been seen to end."""

    workflow_id: str
    workflow: str
    """Its name."""
    lane: str
    """Of its messages."""
    first_target: int
    """The first of them. What a restarted workflow was given before it has been settled."""


class Given(NamedTuple):
    """A message that a workflow was given."""

    target_id: int
    event_id: str


class Conversations:
    """Opened by `Claims.record_results`, closed once it is known what the workflow has read."""

    def __init__(self, database: Database, events: EventRows, signals: Signals):
        self._database = database
        self._events = events
        self._signals = signals

    def open(self) -> list[Conversation]:
        """All of them, by the workflow's id."""
        return [Conversation(*row) for row in self._database.read(_OPEN)]

    def of(self, workflow_id: str) -> Conversation | None:
        """This workflow's; None if it has none that is open."""
        return next((Conversation(*row) for row in self._database.read(_ONE, (workflow_id,))), None)

    def given(self, conversation: Conversation) -> list[Given]:
        """The workflow's messages, in the order in which it was given them."""
        workflow_id, _, lane, first = conversation
        found = self._database.read(_GIVEN, (lane, first, workflow_id))
        return [Given(*row) for row in found]

    def close(
        self, conversation: Conversation, given: Collection[Given], unread: Collection[Given], reason: str, now: int
    ) -> None:
        """The workflow has ended. What it left unread is no longer delivered: it comes first in its lane.

        The conversation stays open if a message was recorded that isn't among those `given`: it isn't known whether
        that was read.
        """
        with self._database.transaction() as transaction:
            events = self._events.lock(transaction, {one.event_id for one in unread})
            self._events.lock_lanes(transaction, [conversation.lane])
            if unread:
                ids = sorted(one.target_id for one in unread)
                transaction.write(_QUEUE, (conversation.lane, ids[0]))
                values = (storable.text_without_nul(reason), ids, conversation.workflow_id)
                returned = {event_id for (event_id,) in transaction.fetch(_TAKE_BACK, values)} & events.keys()
                states = self._events.states_of(transaction, sorted(returned))
                changes = {id_: event_after_return(events[id_].hold, states[id_], now) for id_ in sorted(returned)}
                self._events.change(transaction, changes)
                advance(transaction, [conversation.lane], now)
            workflow_id, _, lane, first = conversation
            known = [one.target_id for one in given]
            transaction.write(_CLOSE, (workflow_id, lane, first, workflow_id, known))
        if unread:
            self._signals.notify("targets")


def note(transaction: Transaction, results: Iterable[Result]) -> None:
    """Opens the conversations of messages that were delivered."""
    found: dict[str, Conversation] = {}
    for result in sorted(results, key=lambda result: result.target.id):
        target, workflow_id = result.target, result.workflow_id or result.target.workflow_id
        if result.state == "done" and target.lane is not None and workflow_id is not None:
            found.setdefault(workflow_id, Conversation(workflow_id, target.workflow, target.lane, target.id))
    into = f"bridge.conversations ({_COLUMNS})"
    transaction.insert(into, sorted(found.values()), "ON CONFLICT (workflow_id) DO NOTHING")
