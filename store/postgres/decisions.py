"""What the leader reads and writes. Rows are locked in one order: events, targets, tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from store import rows, transitions, turns
from store.postgres.connections import Connections, Rows, Statement
from store.postgres.event_changes import changing_events, lock_events, states_of
from store.postgres.leadership import deciding
from store.postgres.signals import PostgresSignals
from store.postgres.targets import new_targets, take_free
from store.protocols import Decisions
from store.records import Agenda, Decision, Event, Target, Term
from store.sql.holds import HELD, RECHECK
from store.sql.pauses import PAUSED

_SIZE = "octet_length(payload) + octet_length(headers) + octet_length(query)"
"""Computed without reading the payload, which PostgreSQL stores separately if it is long."""
_COLUMNS = len(rows.EVENT.split(","))
"""An event's columns, followed by the size of the payloads read so far."""
_LEFT_IN = "value != ALL(%(without)s) AND value NOT IN (SELECT webhook FROM bridge.pauses)"
_AFTER = rows.jumps("webhook", "bridge.events", "decided_at IS NULL", after="%(after)s")
_TO = rows.jumps("webhook", "bridge.events", "decided_at IS NULL", to="%(after)s")
# The next webhooks with undecided events are found by one index look-up each; so are their first events.
_UNDECIDED = f"""
WITH webhooks AS MATERIALIZED (
    SELECT value, row_number() OVER () AS turn FROM (
        SELECT value FROM ({_AFTER}) later WHERE {_LEFT_IN} UNION ALL SELECT value FROM ({_TO}) first WHERE {_LEFT_IN}
    ) next LIMIT %(webhooks)s
), counted AS MATERIALIZED (SELECT count(*) AS number FROM webhooks)
SELECT {rows.EVENT}, before + {_SIZE}, turn, (SELECT number FROM counted) FROM (
    SELECT *, sum({_SIZE}) OVER in_turn - ({_SIZE}) AS before, row_number() OVER in_turn AS place
    FROM webhooks CROSS JOIN LATERAL (
        SELECT *, row_number() OVER (ORDER BY seq) AS number FROM (
            SELECT * FROM bridge.events e WHERE e.decided_at IS NULL AND e.webhook = webhooks.value ORDER BY seq
            LIMIT (SELECT ceil(%(limit)s::numeric / greatest(1, number))::bigint FROM counted)
        ) mine
    ) firsts WINDOW in_turn AS (ORDER BY number, turn)
) shares WHERE before < %(bytes)s AND place <= %(limit)s ORDER BY seq
"""
# They are few, even with paused webhooks: no more than calls can be in flight.
_FREED = f"held = {RECHECK} AND webhook != ALL(%(without)s) AND webhook NOT IN (SELECT webhook FROM bridge.pauses)"
_RETURNED = f"SELECT {rows.TASK} FROM bridge.tasks WHERE state = 'returned' AND id > %s ORDER BY id LIMIT %s"


class PostgresDecisions(Decisions):
    """Decisions on PostgreSQL."""

    def __init__(self, connections: Connections, signals: PostgresSignals):
        self._connections = connections
        self._signals = signals
        self._undecided_after = ""
        """The webhook after which the next round over undecided events starts."""
        self._returned_after = ""
        """The task after which the next returned tasks are read."""

    def agenda(self, limit: int, without: Collection[str] = ()) -> Agenda:
        values = {
            "after": self._undecided_after,
            "without": list(without),
            "webhooks": turns.WEBHOOKS,
            "limit": limit,
            "bytes": turns.BYTES,
        }
        paused, undecided, freed, returned = self._connections.read_together(
            (PAUSED, ()), (_UNDECIDED, values), _some(_FREED, values), (_RETURNED, (self._returned_after, limit))
        )
        since: dict[str, int] = dict(paused)
        more = self._more(undecided, limit) or len(freed) == limit or _is_cut(freed) or len(returned) == limit
        # A webhook that was resumed between the statements counts as resumed in the next agenda.
        new, again = ([e for e in map(_event, found) if e.webhook not in since] for found in (undecided, freed))
        tasks = list(map(rows.task, returned))
        self._returned_after = turns.read_to(tasks, limit)
        return Agenda(since, new, again, tasks, more)

    def _more(self, undecided: Rows, limit: int) -> bool:
        """Whether there may be more undecided events than these; the next round starts after them."""
        if not undecided:
            return False
        *_, turn, webhooks = max(undecided, key=lambda row: row[-2])
        share = turns.share(limit, webhooks)
        self._undecided_after = next(row[2] for row in undecided if row[-2] == turn)
        counts: dict[str, int] = {}
        for row in undecided:
            counts[row[2]] = counts.get(row[2], 0) + 1
        return _is_cut(undecided) or webhooks == turns.WEBHOOKS or max(counts.values()) == share

    def held(self, after_seq: int, limit: int, webhook: str | None = None) -> list[Event]:
        of = "" if webhook is None else "webhook = %(webhook)s AND "
        values = {"webhook": webhook, "after": after_seq, "limit": limit, "bytes": turns.BYTES}
        return list(map(_event, self._connections.read(*_some(f"{of}held = {HELD} AND seq > %(after)s", values))))

    def decide(
        self,
        term: Term,
        decisions: Sequence[Decision],
        expired: Sequence[str],
        now: int,
        claim_for: str | None,
        claim: int,
    ) -> list[Target]:
        with deciding(self._connections, term) as connection:
            changes = {decision.event_id: transitions.after_decision(decision, now) for decision in decisions}
            # A worker that records results for these events has finished, or waits for this: their targets' states are
            # final.
            if expired:
                lock_events(connection, [*changes, *expired])
            states = states_of(connection, expired)
            over = {event_id: transitions.event_after_hold(found, now) for event_id, found in states.items()}
            statements = [changing_events(changes, now)] if changes else []
            if over:
                statements.append(changing_events(over))
            if taken := sorted(_taken(decisions)):
                statements.append(("UPDATE bridge.tasks SET state = 'taken' WHERE id = ANY(%s)", (taken,)))
            if new_rows := _new_rows(decisions, now, claim_for, claim):
                statements.append(new_targets(new_rows))
            found = connection.fetch_together(statements)
            made = map(rows.target, found[-1] if new_rows else ())
            targets = sorted(made, key=lambda target: target.id)
            take_free(connection, targets)
        claimed = [target for target in targets if target.state == "claimed"]
        if len(claimed) < len(targets):
            self._signals.tell("targets")
        return claimed


def _taken(decisions: Iterable[Decision]) -> set[str]:
    """The tasks that events take in these decisions."""
    return {
        new.task_id
        for decision in decisions
        for new in decision.targets
        if new.task_id is not None and transitions.task_after_decision(new) == "taken"
    }


def _new_rows(decisions: Iterable[Decision], now: int, claim_for: str | None, claim: int) -> list[tuple[Any, ...]]:
    """The new targets, the first `claim` of which are claimed."""
    found: list[tuple[Any, ...]] = []
    left = claim if claim_for is not None else 0
    for decision in decisions:
        for new in decision.targets:
            is_mine = left > 0 and not decision.paced and new.not_before <= now
            left -= is_mine
            found.append(rows.new_target_row(decision.event_id, new, claim_for if is_mine else None, now))
    return found


def _some(where: str, values: dict[str, Any]) -> Statement:
    """The statement for the first events, at most `limit` of them and of their `bytes`."""
    sql = (
        f"SELECT {rows.EVENT}, before + {_SIZE} FROM (SELECT *, sum({_SIZE}) OVER (ORDER BY seq) - ({_SIZE}) AS before"
        f" FROM (SELECT * FROM bridge.events WHERE {where} ORDER BY seq LIMIT %(limit)s) first) sized"
        " WHERE before < %(bytes)s ORDER BY seq"
    )
    return sql, values


def _is_cut(found: Rows) -> bool:
    """Whether these events' payloads were too large to read more."""
    return any(row[_COLUMNS] >= turns.BYTES for row in found)


def _event(row: Sequence[Any]) -> Event:
    return rows.event(row[:_COLUMNS])
