"""Reads and writes what becomes of events after their targets end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from store.records import Hold, Target, TargetKind, TargetState
from store.rows import NEW_TARGET, STATES
from store.sql.database import Transaction
from store.sql.holds import hold_of
from store.transitions import EventChange

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
TAKE = "UPDATE bridge.tasks SET state = 'taken' WHERE id = ANY(%s)"
_LOCK = "SELECT id, held FROM bridge.events WHERE id = ANY(%s) ORDER BY seq FOR UPDATE"


def tasks_of(new_rows: Iterable[tuple[Any, ...]]) -> list[str]:
    """The tasks of new targets, in the order of their ids."""
    return sorted(row[_TASK_ID] for row in new_rows if row[_TASK_ID] is not None)


class EventRows(ABC):
    """The rows of events and of their targets. How many one statement writes differs between databases."""

    def lock(self, transaction: Transaction, event_ids: Collection[str]) -> dict[str, Hold]:
        """id → hold, of the existing ones. Until this transaction ends, no other changes them or ends their targets.

        If two workers record an event's last two results, the second must see what the first wrote.
        """
        if not event_ids:
            return {}
        return {event_id: hold_of(held) or "no" for event_id, held in transaction.fetch(_LOCK, (sorted(event_ids),))}

    def states_of(self, transaction: Transaction, event_ids: Sequence[str]) -> dict[str, States]:
        """id → kinds and states of its targets, for each of these events, which must be locked."""
        states: dict[str, States] = {event_id: set() for event_id in event_ids}
        if states:
            for event_id, kind, state in transaction.fetch(_STATES_OF, (list(states),)):
                states[event_id].add((kind, state))
        return states

    @abstractmethod
    def change(self, transaction: Transaction, changes: Mapping[str, EventChange]) -> None:
        """Writes what becomes of the events. They must be locked if that was derived from the database."""

    @abstractmethod
    def add_missing(self, transaction: Transaction, new_rows: Sequence[tuple[Any, ...]]) -> list[Target]:
        """Inserts new targets, as rows of `store.rows.NEW_TARGET`, except those whose task another event has taken.

        Returns those inserted, in the order of their ids.
        """

    @abstractmethod
    def decide(
        self,
        transaction: Transaction,
        decided: Mapping[str, EventChange],
        over: Mapping[str, EventChange],
        new_rows: Sequence[tuple[Any, ...]],
        now: int,
    ) -> list[Target]:
        """Writes what becomes of events that are `decided` now, and of those whose hold is `over`. Inserts the new
        targets, and marks their tasks as taken.

        Returns the targets, in the order of their ids.
        """
