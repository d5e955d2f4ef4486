"""Reads and writes what becomes of events after their targets end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from store.records import Hold, Target, TargetKind, TargetState
from store.rules.transitions import EventChange
from store.sql import replays
from store.sql.database import Transaction
from store.sql.rows import NEW_TARGET, STATES, hold_of

_TASK_ID = NEW_TARGET.split(", ").index("task_id")
States = set[tuple[TargetKind, TargetState]]
# One index look-up for each kind and state, however many targets there are; a join might read them all.
_STATES_OF = f"""
WITH possible (kind, state) AS (VALUES {", ".join(map(str, STATES))})
SELECT event_id, kind, state FROM unnest(%s::text[]) AS asked (event_id) CROSS JOIN possible WHERE 1 = (
    SELECT 1 FROM bridge.targets t
    WHERE t.event_id = asked.event_id AND t.kind = possible.kind AND t.state = possible.state LIMIT 1
)
"""
NOTHING: Mapping[str, EventChange] = {}
TAKE = "UPDATE bridge.tasks SET state = 'taken' WHERE id = ANY(%s)"
_LOCK = "SELECT id, held, origin FROM bridge.events WHERE id = ANY(%s) ORDER BY seq FOR NO KEY UPDATE"


def tasks_of(new_rows: Iterable[tuple[Any, ...]]) -> list[str]:
    """The tasks of new targets, in the order of their ids."""
    return sorted(row[_TASK_ID] for row in new_rows if row[_TASK_ID] is not None)


class Locked(NamedTuple):
    """An event that nobody else changes meanwhile."""

    hold: Hold
    origin: str | None


class Decided(NamedTuple):
    """When events were decided, by which worker, and when the scan began that came before; None if not at all."""

    at: int | None = None
    worker: str | None = None
    scan_at: int | None = None


class EventRows(ABC):
    """The rows of events and of their targets. How many one statement writes differs between databases."""

    def lock(self, transaction: Transaction, event_ids: Collection[str]) -> dict[str, Locked]:
        """id → hold and origin, of the existing ones. Until this transaction ends, no other changes them or ends their
        targets.

        If two workers record an event's last two results, the second must see what the first wrote.
        """
        if not event_ids:
            return {}
        found = transaction.fetch(_LOCK, (sorted(event_ids),))
        return {event_id: Locked(hold_of(held) or "no", origin) for event_id, held, origin in found}

    def states_of(self, transaction: Transaction, event_ids: Sequence[str]) -> dict[str, States]:
        """id → kinds and states of its targets, for each of these events, which must be locked."""
        states: dict[str, States] = {event_id: set() for event_id in event_ids}
        if states:
            for event_id, kind, state in transaction.fetch(_STATES_OF, (list(states),)):
                states[event_id].add((kind, state))
        return states

    def resolve(
        self,
        transaction: Transaction,
        origins: Mapping[str, str | None],
        changes: Mapping[str, EventChange],
        decided: Mapping[str, EventChange] = NOTHING,
    ) -> None:
        """Records which events were resolved now that some have ended, and which of these themselves; the last thing to
        do in the transaction.

        `origins` has the origin of each. `decided` are those that are decided now: none of their replays, which came
        later, can have been delivered before.
        """
        ended = replays.origins_of_ended(origins, {**changes, **decided})
        ended |= replays.replayed_before(transaction, origins, changes)
        if ended:
            self.lock_families(transaction, sorted(ended))
            replays.resolve(transaction, sorted(ended))

    @abstractmethod
    def lock_families(self, transaction: Transaction, origins: Sequence[str]) -> None:
        """Until this transaction ends, no other records what replays of these origins, in order, have resolved.

        If two replays of an event end at the same time, the second must see what became of the first.
        """

    @abstractmethod
    def lock_lanes(self, transaction: Transaction, lanes: Sequence[str]) -> None:
        """Until this transaction ends, no other adds messages to these lanes or ends any of theirs. Comes after events
        are locked, and before targets are.

        Whoever ends a lane's first message must see what has been added behind it.
        """

    @abstractmethod
    def change(self, transaction: Transaction, changes: Mapping[str, EventChange]) -> None:
        """Writes what becomes of the events. They must be locked if that was derived from the database."""

    @abstractmethod
    def decide(
        self,
        transaction: Transaction,
        decided: Mapping[str, EventChange],
        over: Mapping[str, EventChange],
        new_rows: Sequence[tuple[Any, ...]],
        by: Decided,
    ) -> list[Target]:
        """Writes what becomes of events that are `decided` now, and of those whose hold is `over`. Inserts the new
        targets, and marks their tasks as taken.

        Returns those that are claimed or have a once key, and perhaps others, in the order of their ids.
        """
