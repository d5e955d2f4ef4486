"""Which message of a lane comes next, which start holds a once key (`store.rules.keys`), and which
running workflows were given messages: what they have left unread when they end goes back into its
lane.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from store.records import NewTarget, OnceHolder, Result, Target, TargetCall
from store.rules.transitions import event_after_return
from store.sql import rows, storable
from store.sql.database import Database, Part, Signals, Transaction
from store.sql.event_rows import EventRows

# Found by one index look-up for each lane, however many messages wait in it.
_FIRST = (
    "SELECT id FROM bridge.targets t WHERE t.lane = asked.lane AND t.settled_at IS NULL ORDER BY"
    " t.id LIMIT 1"
)
_FIRSTS = f"SELECT ({_FIRST}) FROM unnest(%s::text[]) AS asked (lane)"
_ADVANCE = (
    "UPDATE bridge.targets SET state = 'pending', due_at = %s WHERE state = 'queued' AND id IN"
    f" ({_FIRSTS})"
)
_LATEST = """
SELECT workflow_id FROM bridge.targets WHERE lane = %s AND state = 'done' ORDER BY id DESC LIMIT 1
"""
_NEXT_START = f"""
SELECT {rows.TARGET} FROM (
    SELECT * FROM bridge.targets WHERE lane = %s AND settled_at IS NULL ORDER BY id LIMIT %s
) AS next WHERE otherwise = 'start' ORDER BY id LIMIT 1
"""
_LEAVE = "UPDATE bridge.targets SET lane = NULL WHERE id = ANY(%s)"
_LOOKED_AT = 1000
"""Messages among which one that starts a workflow is looked for: as many as Conductor's queue
takes."""
# Passes over a message that another worker is claiming at this moment: it is looked for anyway.
_HURRY = f"""
UPDATE bridge.targets SET due_at = %s WHERE id IN (
    SELECT id FROM bridge.targets
    WHERE state = 'pending' AND not_sent AND otherwise = 'hold' AND due_at > %s AND id IN ({_FIRSTS})
    ORDER BY id FOR UPDATE SKIP LOCKED
)
"""


class Lanes(Part):
    """Where the messages of a lane go (`store.rules.keys`). Lanes, as other parts of the store have
    written them."""

    def latest_workflow(self, lane: str) -> str | None:
        """The workflow that the lane's last delivered message went to; None if there is none in the
        store."""
        found = self._database.read(_LATEST, (lane,))
        return found[0][0] if found else None

    def is_first(self, target: Target) -> bool:
        """Whether no earlier message of its lane is still to be delivered."""
        found = self._database.read(_FIRSTS, ([target.lane],))
        return found[0][0] in (None, target.id)

    def next_start(self, lane: str) -> Target | None:
        """The first message of the lane that hasn't ended and may start its workflow, among the
        next thousand; None if there is none."""
        found = self._database.read(_NEXT_START, (lane, _LOOKED_AT))
        return rows.target(found[0]) if found else None


def lanes_of(targets: Iterable[TargetCall]) -> list[str]:
    """The lanes of these targets."""
    return sorted({target.lane for target in targets if target.lane is not None})


def advance(transaction: Transaction, lanes: Collection[str], now: int) -> bool:
    """Makes the first message of each of these lanes due, unless it was already; returns whether
    any was made due."""
    return bool(lanes) and transaction.write(_ADVANCE, (now, list(lanes))) > 0


def hurry(transaction: Transaction, new: Iterable[NewTarget], now: int) -> None:
    """Makes held messages due if a message that starts their workflow was added behind them."""
    lanes = lanes_of(target for target in new if target.otherwise == "start")
    if lanes:
        transaction.write(_HURRY, (now, now, lanes))


def leave(transaction: Transaction, targets: Iterable[Target]) -> None:
    """Takes these messages, the first of their lanes, out of them: they are delivered in no
    particular order."""
    ids = [target.id for target in targets]
    if ids:
        transaction.write(_LEAVE, (ids,))


_HOLDER = """
SELECT o.target_id, t.state, coalesce(t.workflow_id, o.workflow_id)
FROM bridge.onces o LEFT JOIN bridge.targets t ON t.id = o.target_id WHERE o.key = %s
"""
_INTO = "bridge.onces (key, target_id)"
_IF_FREE = "ON CONFLICT (key) DO NOTHING"
_TAKE = """
UPDATE bridge.onces SET target_id = %s, workflow_id = NULL
WHERE key = %s AND coalesce(target_id, 0) = %s AND coalesce(workflow_id, '') = %s
"""
_PRUNED = (
    "SELECT key, workflow_id FROM bridge.onces WHERE target_id IS NULL AND key > %s ORDER BY key"
    " LIMIT %s"
)
_FORGET = "DELETE FROM bridge.onces WHERE key = %s AND target_id IS NULL AND workflow_id = %s"
_MAY_RUN = """
UPDATE bridge.onces SET target_id = NULL, workflow_id = (
    SELECT t.workflow_id FROM bridge.targets t WHERE t.id = onces.target_id
) WHERE target_id = ANY(%s) AND EXISTS (
    SELECT 1 FROM bridge.targets t
    WHERE t.id = onces.target_id AND t.workflow_id IS NOT NULL AND t.once_while = 'running'
)
"""


class OnceKeys(Part):
    """Which start holds a once key (`store.rules.keys`). One row per held key."""

    def holder(self, key: str) -> OnceHolder | None:
        """The start that holds the key; None if none does."""
        found = self._database.read(_HOLDER, (key,))
        return OnceHolder(*found[0]) if found else None

    def take(self, key: str, holder: OnceHolder | None, target_id: int) -> bool:
        """Makes the target the key's holder; False if `holder`, as previously read, is no longer
        the holder."""
        with self._database.transaction() as transaction:
            if holder is None:
                return bool(
                    transaction.insert(_INTO, [(key, target_id)], f"{_IF_FREE} RETURNING 1")
                )
            pruned = holder.workflow_id if holder.target_id is None else None
            return (
                transaction.write(_TAKE, (target_id, key, holder.target_id or 0, pruned or "")) == 1
            )

    def pruned(self, after: str, limit: int) -> list[tuple[str, str]]:
        """(key, workflow id) of pruned holders whose workflow may still run, in order of key."""
        return [
            (key, workflow_id) for key, workflow_id in self._database.read(_PRUNED, (after, limit))
        ]

    def forget(self, pruned: Sequence[tuple[str, str]]) -> None:
        """Deletes these pruned holders, given as `pruned` returned them, since their workflows have
        ended. A key that has changed hands meanwhile keeps its new holder."""
        for step in rows.steps(pruned):
            with self._database.transaction() as transaction:
                transaction.fetch_together([(_FORGET, values) for values in sorted(step)])


def take_free(transaction: Transaction, targets: Sequence[Target]) -> None:
    """Makes each target the holder of its key, if the key is free; of several targets, the first."""
    keys: dict[str, int] = {}
    for target in targets:
        if target.once_key is not None:
            keys.setdefault(target.once_key, target.id)
    transaction.insert(_INTO, sorted(keys.items()), _IF_FREE)


def detach(transaction: Transaction, target_ids: Sequence[int]) -> None:
    """Detaches these targets before they are deleted; if a target's workflow may still run, its id
    is kept."""
    transaction.write(_MAY_RUN, (list(target_ids),))
    transaction.write("DELETE FROM bridge.onces WHERE target_id = ANY(%s)", (list(target_ids),))


_COLUMNS = "workflow_id, workflow, lane, first_target"
_OPEN = f"SELECT {_COLUMNS} FROM bridge.conversations ORDER BY workflow_id"
_ONE = f"SELECT {_COLUMNS} FROM bridge.conversations WHERE workflow_id = %s"
_GIVEN = """
SELECT id, event_id FROM bridge.targets WHERE lane = %s AND id >= %s AND state = 'done' AND workflow_id = %s ORDER BY id
"""
_QUEUE = (
    "UPDATE bridge.targets SET state = 'queued' WHERE state = 'pending' AND lane = %s AND id > %s"
)
_TAKE_BACK = """
UPDATE bridge.targets SET state = 'queued', settled_at = NULL, error = %s
WHERE id = ANY(%s) AND state = 'done' AND workflow_id = %s RETURNING event_id
"""
_UNRESOLVE = (
    "UPDATE bridge.events SET resolved_by = NULL WHERE id = ANY(%s) AND resolved_by IS NOT NULL"
)
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
        self,
        conversation: Conversation,
        given: Collection[Given],
        unread: Collection[Given],
        reason: str,
        now: int,
    ) -> None:
        """The workflow has ended. What it left unread is no longer delivered: it comes first in its
        lane.

        The conversation stays open if a message was recorded that isn't among those `given`: it
        isn't known whether that was read.
        """
        with self._database.transaction() as transaction:
            events = self._events.lock(transaction, {one.event_id for one in unread})
            self._events.lock_lanes(transaction, [conversation.lane])
            if unread:
                ids = sorted(one.target_id for one in unread)
                transaction.write(_QUEUE, (conversation.lane, ids[0]))
                values = (storable.text_without_nul(reason), ids, conversation.workflow_id)
                returned = {
                    event_id for (event_id,) in transaction.fetch(_TAKE_BACK, values)
                } & events.keys()
                states = self._events.states_of(transaction, sorted(returned))
                changes = {
                    id_: event_after_return(events[id_].hold, states[id_], now)
                    for id_ in sorted(returned)
                }
                self._events.change(transaction, changes)
                # No replay has delivered what the workflow left unread.
                transaction.write(_UNRESOLVE, (sorted(returned),))
                advance(transaction, [conversation.lane], now)
            workflow_id, _, lane, first = conversation
            known = [one.target_id for one in given]
            transaction.write(_CLOSE, (workflow_id, lane, first, workflow_id, known))
        if unread:
            self._signals.notify("targets")


def note_given(transaction: Transaction, results: Iterable[Result]) -> None:
    """Opens the conversations of messages that were delivered."""
    found: dict[str, Conversation] = {}
    for result in sorted(results, key=lambda result: result.target.id):
        target, workflow_id = result.target, result.workflow_id or result.target.workflow_id
        if result.state == "done" and target.lane is not None and workflow_id is not None:
            found.setdefault(
                workflow_id, Conversation(workflow_id, target.workflow, target.lane, target.id)
            )
    into = f"bridge.conversations ({_COLUMNS})"
    transaction.insert(into, sorted(found.values()), "ON CONFLICT (workflow_id) DO NOTHING")
