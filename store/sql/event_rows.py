"""Reads and writes what becomes of events after their targets end, and of those that their replays
resolve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from store import one_target
from store.records import Hold, NewTarget, Target, TargetKind, TargetState, place_of
from store.rules.transitions import UNRESOLVED, Ended, EventChange, resolved
from store.sql.answers import REOPEN
from store.sql.database import Rows, Transaction
from store.sql.joins import JOINABLE
from store.sql.rows import NEW_TARGET, STATES, hold_of

_READ = 1000
"""Events of one family, and failed targets of theirs, that are read: it is a person who replays an
event again."""
_ENDED = " OR ".join(f"status = '{status}'" for status in UNRESOLVED)
_UNRESOLVED = f"""
SELECT seq, id, status, only_target FROM bridge.events
WHERE id = %(origin)s AND ({_ENDED}) AND resolved_by IS NULL
""" + "".join(
    "UNION ALL SELECT seq, id, status, only_target FROM bridge.events WHERE seq IN (SELECT seq"
    f" FROM bridge.ended_events WHERE origin = %(origin)s AND status = '{status}' AND resolved_by"
    f" IS NULL ORDER BY seq DESC LIMIT {_READ})\n"
    for status in UNRESOLVED
)
_DELIVERED = f"""
SELECT seq, id, status, only_target FROM bridge.events WHERE seq IN (
    SELECT seq FROM bridge.ended_events WHERE origin = %s AND status = 'delivered' ORDER BY seq LIMIT {_READ}
) ORDER BY seq
"""
_FAILED = f"""
SELECT event_id, kind, workflow, workflow_id, reference_name, iteration, correlation_id FROM bridge.targets
WHERE event_id = ANY(%s) AND kind IN ('complete', 'start', 'message') AND state IN ('failed', 'unknown') LIMIT {_READ}
"""
_RESOLVE = "UPDATE bridge.events SET resolved_by = %s WHERE id = %s"
HAS_REPLAYS = """
SELECT origin FROM unnest(%s::text[]) AS asked (origin)
WHERE 1 = (SELECT 1 FROM bridge.ended_events e WHERE e.origin = asked.origin LIMIT 1)
OR 1 = (SELECT 1 FROM bridge.unsettled_events u WHERE u.origin = asked.origin LIMIT 1)
"""


def _origins_of_ended(
    origins: Mapping[str, str | None], changes: Mapping[str, EventChange]
) -> set[str]:
    """The origins of the replays among these events that have ended."""
    over = (event_id for event_id, change in changes.items() if change.status != "pending")
    return {origin for event_id in over if (origin := origins.get(event_id)) is not None}


def _replayed_before(
    transaction: Transaction, origins: Mapping[str, str | None], changes: Mapping[str, EventChange]
) -> set[str]:
    """Those of the senders' events among these that have come to nothing, and were replayed while
    they were pending."""
    over = [
        id_
        for id_, change in changes.items()
        if change.status in UNRESOLVED and origins.get(id_) is None
    ]
    return {id_ for (id_,) in transaction.fetch(HAS_REPLAYS, (sorted(over),))} if over else set()


def _resolve(transaction: Transaction, origins: Iterable[str]) -> None:
    """Records what the replays of these origins have resolved by now. Costs one statement if none
    was delivered."""
    for origin in origins:
        delivered = _readable(transaction.fetch(_DELIVERED, (origin,)))
        if delivered:
            ended = _readable(transaction.fetch(_UNRESOLVED, {"origin": origin}))
            for event_id, replay in resolved(
                ended, delivered, _failed_of(transaction, ended)
            ).items():
                transaction.write(_RESOLVE, (replay, event_id))
                transaction.write(REOPEN, (event_id,))


def _failed_of(
    transaction: Transaction, ended: list[Ended]
) -> dict[str, set[one_target.OneTarget]]:
    ids = sorted(event.id for event in ended if event.status == "failed")
    found: Rows = transaction.fetch(_FAILED, (ids,)) if ids else []
    if len(found) == _READ:  # there may be others
        return {}
    failed: dict[str, set[one_target.OneTarget]] = {}
    for event_id, kind, workflow, workflow_id, name, iteration, correlation_id in found:
        target = NewTarget(
            kind,
            workflow,
            workflow_id,
            None,
            name,
            iteration=iteration,
            correlation_id=correlation_id,
        )
        failed.setdefault(event_id, set()).add(place_of(target))
    return failed


def _readable(found: Rows) -> list[Ended]:
    """The events, without those whose one target can't be read: they hold up no other."""
    ended = []
    for _, event_id, status, only in found:
        with suppress(TypeError, ValueError):
            ended.append(
                Ended(event_id, status, None if only is None else one_target.from_text(only))
            )
    return ended


_TASK_ID = NEW_TARGET.split(", ").index("task_id")
States = set[tuple[TargetKind, TargetState]]
# One index look-up for each kind and state, however many targets there are; a join might read them
# all.
_STATES_OF = f"""
WITH possible (kind, state) AS (VALUES {", ".join(map(str, STATES))})
SELECT event_id, kind, state FROM unnest(%s::text[]) AS asked (event_id) CROSS JOIN possible WHERE 1 = (
    SELECT 1 FROM bridge.targets t
    WHERE t.event_id = asked.event_id AND t.kind = possible.kind AND t.state = possible.state LIMIT 1
)
"""
NOTHING: Mapping[str, EventChange] = {}
TAKE = "UPDATE bridge.tasks SET state = 'taken' WHERE id = ANY(%s)"
JOINABLE_FROM = f"CASE WHEN hold_until > %s THEN hold_until ELSE %s END + {JOINABLE}"
"""Until when an event that is decided at that time may be joined, at least."""
_LOCK = (
    "SELECT id, held, origin FROM bridge.events WHERE id = ANY(%s) ORDER BY seq FOR NO KEY UPDATE"
)


def tasks_of(new_rows: Iterable[tuple[Any, ...]]) -> list[str]:
    """The tasks of new targets, in the order of their ids."""
    return sorted(row[_TASK_ID] for row in new_rows if row[_TASK_ID] is not None)


class Locked(NamedTuple):
    """An event that nobody else changes meanwhile."""

    hold: Hold
    origin: str | None


class Decided(NamedTuple):
    """When events were decided, by which worker, and when the scan began that came before; None if
    not at all."""

    at: int | None = None
    worker: str | None = None
    scan_at: int | None = None


class EventRows(ABC):
    """The rows of events and of their targets. How many one statement writes differs between
    databases."""

    def lock(self, transaction: Transaction, event_ids: Collection[str]) -> dict[str, Locked]:
        """id → hold and origin, of the existing ones. Until this transaction ends, no other changes
        them or ends their targets.

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
        """Records which events were resolved now that some have ended, and which of these
        themselves; the last thing to do in the transaction.

        `origins` has the origin of each. `decided` are those that are decided now: none of their
        replays, which came later, can have been delivered before.
        """
        ended = _origins_of_ended(origins, {**changes, **decided})
        ended |= _replayed_before(transaction, origins, changes)
        if ended:
            self.lock_families(transaction, sorted(ended))
            _resolve(transaction, sorted(ended))

    @abstractmethod
    def lock_families(self, transaction: Transaction, origins: Sequence[str]) -> None:
        """Until this transaction ends, no other records what replays of these origins, in order,
        have resolved.

        If two replays of an event end at the same time, the second must see what became of the
        first.
        """

    @abstractmethod
    def lock_lanes(self, transaction: Transaction, lanes: Sequence[str]) -> None:
        """Until this transaction ends, no other adds messages to these lanes or ends any of theirs.
        Comes after events are locked, and before targets are.

        Whoever ends a lane's first message must see what has been added behind it.
        """

    @abstractmethod
    def change(self, transaction: Transaction, changes: Mapping[str, EventChange]) -> None:
        """Writes what becomes of the events. They must be locked if that was derived from the
        database."""

    @abstractmethod
    def decide(
        self,
        transaction: Transaction,
        decided: Mapping[str, EventChange],
        over: Mapping[str, EventChange],
        new_rows: Sequence[tuple[Any, ...]],
        by: Decided,
    ) -> list[Target]:
        """Writes what becomes of events that are `decided` now, and of those whose hold is `over`.
        Inserts the new targets, and marks their tasks as taken.

        Returns those that are claimed or have a once key, and perhaps others, in the order of their
        ids.
        """
