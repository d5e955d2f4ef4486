"""Records which events of a family a replay has resolved, in the transaction in which that replay ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from store import one_target
from store.records import NewTarget
from store.rules.replays import UNRESOLVED, Ended, resolved
from store.rules.transitions import EventChange
from store.sql.answers import REOPEN
from store.sql.database import Rows, Transaction

_READ = 1000
"""Events of one family, and failed targets of theirs, that are read: it is a person who replays an event again."""
_ENDED = " OR ".join(f"status = '{status}'" for status in UNRESOLVED)
_UNRESOLVED = f"""
SELECT seq, id, status, only_target FROM bridge.events
WHERE id = %(origin)s AND ({_ENDED}) AND resolved_by IS NULL
""" + "".join(
    "UNION ALL SELECT seq, id, status, only_target FROM bridge.events WHERE seq IN (SELECT seq FROM bridge.ended_events"
    f" WHERE origin = %(origin)s AND status = '{status}' AND resolved_by IS NULL ORDER BY seq DESC LIMIT {_READ})\n"
    for status in UNRESOLVED
)
_DELIVERED = f"""
SELECT seq, id, status, only_target FROM bridge.events WHERE seq IN (
    SELECT seq FROM bridge.ended_events WHERE origin = %s AND status = 'delivered' ORDER BY seq LIMIT {_READ}
) ORDER BY seq
"""
_FAILED = f"""
SELECT event_id, kind, workflow, workflow_id, reference_name, iteration, correlation_id FROM bridge.targets
WHERE event_id = ANY(%s) AND kind IN ('complete', 'start', 'message') AND state = 'failed' LIMIT {_READ}
"""
_RESOLVE = "UPDATE bridge.events SET resolved_by = %s WHERE id = %s"
HAS_REPLAYS = """
SELECT origin FROM unnest(%s::text[]) AS asked (origin)
WHERE 1 = (SELECT 1 FROM bridge.ended_events e WHERE e.origin = asked.origin LIMIT 1)
OR 1 = (SELECT 1 FROM bridge.unsettled_events u WHERE u.origin = asked.origin LIMIT 1)
"""


def origins_of_ended(origins: Mapping[str, str | None], changes: Mapping[str, EventChange]) -> set[str]:
    """The origins of the replays among these events that have ended."""
    over = (event_id for event_id, change in changes.items() if change.status != "pending")
    return {origin for event_id in over if (origin := origins.get(event_id)) is not None}


def replayed_before(
    transaction: Transaction, origins: Mapping[str, str | None], changes: Mapping[str, EventChange]
) -> set[str]:
    """Those of the senders' events among these that have come to nothing, and were replayed while they were pending."""
    over = [id_ for id_, change in changes.items() if change.status in UNRESOLVED and origins.get(id_) is None]
    return {id_ for (id_,) in transaction.fetch(HAS_REPLAYS, (sorted(over),))} if over else set()


def resolve(transaction: Transaction, origins: Iterable[str]) -> None:
    """Records what the replays of these origins have resolved by now. Costs one statement if none was delivered."""
    for origin in origins:
        delivered = _readable(transaction.fetch(_DELIVERED, (origin,)))
        if delivered:
            ended = _readable(transaction.fetch(_UNRESOLVED, {"origin": origin}))
            for event_id, replay in resolved(ended, delivered, _failed_of(transaction, ended)).items():
                transaction.write(_RESOLVE, (replay, event_id))
                transaction.write(REOPEN, (event_id,))


def _failed_of(transaction: Transaction, ended: list[Ended]) -> dict[str, set[one_target.OneTarget]]:
    ids = sorted(event.id for event in ended if event.status == "failed")
    found: Rows = transaction.fetch(_FAILED, (ids,)) if ids else []
    if len(found) == _READ:  # there may be others
        return {}
    failed: dict[str, set[one_target.OneTarget]] = {}
    for event_id, kind, workflow, workflow_id, name, iteration, correlation_id in found:
        target = NewTarget(kind, workflow, workflow_id, None, name, iteration=iteration, correlation_id=correlation_id)
        failed.setdefault(event_id, set()).add(one_target.place_of(target))
    return failed


def _readable(found: Rows) -> list[Ended]:
    """The events, without those whose one target can't be read: they hold up no other."""
    ended = []
    for _, event_id, status, only in found:
        with suppress(TypeError, ValueError):
            ended.append(Ended(event_id, status, None if only is None else one_target.from_text(only)))
    return ended
