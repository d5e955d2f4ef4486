"""What there is to decide, and lists and counts of events, as only PostgreSQL reads them."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from store.clock import MonotonicClock
from store.errors import RowsUnavailable
from store.postgres.connections import Connections
from store.postgres.low_water_marks import IN_FULL_EVERY, LowWaterMarks, next_webhooks
from store.records import Agenda, Event
from store.rules import fairness
from store.sql import rows
from store.sql.database import Deciding, Rows, Signals, Statement
from store.sql.decisions import Decisions
from store.sql.event_rows import EventRows
from store.sql.event_search import EventFilter
from store.sql.facts import PAUSED
from store.sql.queries import STATUSES, Queries
from store.sql.rows import RECHECK, STAGES

_SIZE = "octet_length(payload) + octet_length(headers) + octet_length(query)"
"""Computed without reading the payload, which PostgreSQL stores separately if it is long."""
_COLUMNS = len(rows.EVENT.split(","))
"""An event's columns, followed by the size of the payloads read so far."""
_LEFT_IN = "value != ALL(%(without)s) AND value NOT IN (SELECT webhook FROM bridge.pauses)"
# The next webhooks with undecided events are found by one index look-up each; so are their first
# events.
_UNDECIDED = f"""
WITH webhooks AS MATERIALIZED (
    SELECT value, low, row_number() OVER () AS turn FROM (
        SELECT value, low FROM ({next_webhooks("bridge.undecided", "true", low="seq")}) each WHERE {_LEFT_IN}
    ) next LIMIT %(webhooks)s
), counted AS MATERIALIZED (SELECT count(*) AS number FROM webhooks)
SELECT {{columns}}, before + {_SIZE}, turn, (SELECT number FROM counted) FROM (
    SELECT *, sum({_SIZE}) OVER in_turn - ({_SIZE}) AS before, row_number() OVER in_turn AS place
    FROM webhooks CROSS JOIN LATERAL (
        SELECT *, row_number() OVER (ORDER BY seq) AS number FROM (
            SELECT * FROM bridge.events WHERE seq = ANY(ARRAY(
                SELECT u.seq FROM bridge.undecided u
                WHERE u.webhook = webhooks.value AND u.seq >= webhooks.low ORDER BY u.seq
                LIMIT (SELECT ceil(%(limit)s::numeric / greatest(1, number))::bigint FROM counted)
            ))
        ) mine
    ) firsts WINDOW in_turn AS (ORDER BY number, turn)
) shares WHERE before < %(bytes)s AND place <= %(limit)s ORDER BY seq
"""
# They are few, even with paused webhooks: no more than calls can be in flight.
_FREED = (
    f"held = {RECHECK} AND webhook != ALL(%(without)s) AND webhook NOT IN (SELECT webhook FROM"
    " bridge.pauses)"
)
_WHOLE = f"SELECT {rows.EVENT} FROM bridge.events WHERE seq = %s"
_VISIBLE_AFTER = 20.0
"""Seconds after which an event that took a number is visible, or never will be: the server ends
idle transactions sooner. One that becomes visible later waits for the next scan in full."""


class PostgresDecisions(Decisions):
    """Decisions on PostgreSQL. A scan begins where the last one found each webhook's first event,
    but not at a number that may still become visible (`LowWaterMarks`)."""

    def __init__(
        self,
        connections: Connections,
        leadership: Deciding,
        events: EventRows,
        signals: Signals,
        clock: MonotonicClock = time,
    ):
        super().__init__(leadership, events, signals)
        self._connections = connections
        self._clock = clock
        self._lows = LowWaterMarks()
        self._first: dict[str, int] = {}
        """webhook → its first undecided number at the last scan that found one."""
        self._newest = self._newest_before = self._settled = 0
        """The greatest number found: by now, up to `_VISIBLE_AFTER` seconds ago, and longer ago
        than that."""
        self._raise_at = self._in_full_at = float("-inf")

    def agenda(self, limit: int, without: Collection[str] = ()) -> Agenda:
        try:
            return self._agenda(limit, without, rows.EVENT)
        except RowsUnavailable:
            found = self._agenda(limit, without, rows.LISTED_EVENT)
            undecided, freed = (
                self._with_payloads(found.undecided),
                self._with_payloads(found.freed),
            )
            cut = len(undecided) < len(found.undecided) or len(freed) < len(found.freed)
            return replace(found, undecided=undecided, freed=freed, more=found.more or cut)

    def _agenda(self, limit: int, without: Collection[str], columns: str) -> Agenda:
        now = self._clock.monotonic()
        lows = self._lows
        if now >= self._in_full_at:
            self._in_full_at, lows = now + IN_FULL_EVERY, LowWaterMarks()
        values = {
            "after": self._undecided_after,
            "without": list(without),
            "webhooks": fairness.WEBHOOKS,
            "limit": limit,
            "bytes": fairness.BYTES,
            **lows.parameters,
        }
        paused, undecided, freed = self._connections.read_together(
            (PAUSED, ()),
            (_UNDECIDED.format(columns=columns), values),
            _some(_FREED, values, columns),
        )
        self._move_bounds(undecided, now)
        since: dict[str, int] = dict(paused)
        more = self._more(undecided, limit) or len(freed) == limit or _is_cut(freed)
        # A webhook that was resumed between the statements counts as resumed in the next agenda.
        new, again = (
            [e for e in map(_event, found) if e.webhook not in since]
            for found in (undecided, freed)
        )
        return Agenda(since, new, again, more)

    def _move_bounds(self, undecided: Rows, now: float) -> None:
        if now >= self._raise_at:
            self._raise_at = now + _VISIBLE_AFTER
            self._settled, self._newest_before = self._newest_before, self._newest
        self._newest = max([self._newest, *(row[0] for row in undecided)])
        self._lows.found(row[2] for row in undecided)
        self._first |= {webhook: seq for seq, _, webhook, *_ in reversed(undecided)}
        self._lows.set(
            {webhook: min(self._settled, self._first[webhook]) for webhook in self._lows.busy}
        )

    def _more(self, undecided: Rows, limit: int) -> bool:
        """Whether there may be more undecided events than these; the next round starts after them."""
        if not undecided:
            return False
        *_, turn, webhooks = max(undecided, key=lambda row: row[-2])
        share = fairness.share(limit, webhooks)
        self._undecided_after = next(row[2] for row in undecided if row[-2] == turn)
        counts: dict[str, int] = {}
        for row in undecided:
            counts[row[2]] = counts.get(row[2], 0) + 1
        return _is_cut(undecided) or webhooks == fairness.WEBHOOKS or max(counts.values()) == share

    def _with_payloads(self, listed: Sequence[Event]) -> list[Event]:
        """The first of these events with their payloads, read one by one, as far as they aren't too
        large together.

        One that can't be read is `unreadable`."""
        found: list[Event] = []
        room = fairness.BYTES
        for event in listed:
            if room <= 0:
                break
            try:
                read = list(map(rows.event, self._connections.read(_WHOLE, (event.seq,))))
            except RowsUnavailable as error:
                read = [replace(event, unreadable=f"its row in the store can't be read: {error}")]
            found += read
            room -= sum(len(event.payload) for event in read)
        return found


def _some(where: str, values: dict[str, Any], columns: str) -> Statement:
    """The statement for these columns of the first held events, at most `limit` of them and of
    their `bytes`."""
    sql = (
        f"SELECT {columns}, before + {_SIZE} FROM (SELECT *, sum({_SIZE}) OVER (ORDER BY seq) -"
        f" ({_SIZE}) AS before FROM bridge.events WHERE seq = ANY(ARRAY(SELECT seq FROM"
        f" bridge.held_events WHERE {where} ORDER BY seq LIMIT %(limit)s))) sized WHERE before <"
        " %(bytes)s ORDER BY seq"
    )
    return sql, values


def _is_cut(found: Rows) -> bool:
    """Whether these events' payloads were too large to read more."""
    return any(row[_COLUMNS] >= fairness.BYTES for row in found)


def _event(row: Sequence[Any]) -> Event:
    return rows.event(row[:_COLUMNS])


_COUNTS = """
SELECT status, sum(number)::bigint FROM bridge.finished_events GROUP BY status
UNION ALL SELECT 'pending', count(*) FROM bridge.unsettled_events WHERE status = 'pending'
"""
_WEBHOOKS = rows.jumps("webhook", "bridge.ended_events", "true")
_OF_EACH = " AND webhook = each.value"
"""Delivered events are most of all, so no index has them in the order of all webhooks. The newest
are of those webhooks whose newest one is among these."""


class PostgresQueries(Queries):
    """Queries on PostgreSQL."""

    def _parts_of(self, query: EventFilter) -> list[str]:
        if query.status is None and query.webhook is None:
            return ["bridge.events WHERE seq < %(before)s"]
        of_webhook = query.of_webhook
        of_each = of_webhook or _OF_EACH
        statuses = STATUSES if query.status is None else (query.status,)
        found = [
            f"bridge.ended_events AS part WHERE status = '{status}' AND seq < %(before)s"
            + (of_each if status == "delivered" else of_webhook)
            for status in statuses
            if status != "pending"
        ]
        if "pending" in statuses:
            stages = (
                [f" AND stage = {stage}" for stage in STAGES] if query.webhook is not None else [""]
            )
            found += [
                "bridge.unsettled_events AS part WHERE status = 'pending' AND seq <"
                f" %(before)s{of_webhook}{stage}"
                for stage in stages
            ]
        return found

    def _newest(self, part: str, most: str = "%(limit)s") -> str:
        newest = super()._newest(part, most)
        if _OF_EACH not in part:
            return newest
        first = super()._newest(part, "1")
        webhooks = (
            f"SELECT each.value FROM ({_WEBHOOKS}) AS each CROSS JOIN LATERAL ({first}) AS first"
            f" ORDER BY first.seq DESC LIMIT {most}"
        )
        of_each = (
            f"SELECT newest.seq FROM ({webhooks}) AS each CROSS JOIN LATERAL ({newest}) AS newest"
        )
        return f"{of_each} ORDER BY newest.seq DESC LIMIT {most}"

    def event_counts(self) -> dict[str, int]:
        counts: dict[str, int] = dict(self._database.read(_COUNTS))
        return {status: counts[status] for status in STATUSES if counts.get(status)}
