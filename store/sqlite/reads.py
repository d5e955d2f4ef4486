"""What there is to decide, and lists and counts of events, as only SQLite reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from store.records import Agenda, Event, EventStatus, Hold
from store.rules import fairness
from store.sql import rows
from store.sql.database import Deciding, Signals
from store.sql.decisions import Decisions
from store.sql.event_rows import EventRows
from store.sql.event_search import EventFilter
from store.sql.facts import PAUSED
from store.sql.queries import STATUSES, Queries
from store.sql.rows import jumps, number_of, size
from store.sqlite.connections import Connections

_IS_UNDECIDED = "decided_at IS NULL"
_WEBHOOKS_AFTER = jumps("webhook", "events", _IS_UNDECIDED, after=":after") + " LIMIT :most"
_WEBHOOKS_TO = jumps("webhook", "events", _IS_UNDECIDED, to=":after") + " LIMIT :most"
_NEXT_OF_WEBHOOK = (
    "SELECT seq FROM events WHERE decided_at IS NULL AND webhook = ? ORDER BY seq LIMIT ?"
)
_WHOLE = f"SELECT {rows.EVENT} FROM events WHERE seq = ?"


def _has_hold(hold: Hold) -> str:
    """SQL for "has this hold" (any but `no`), phrased so that the partial index is used."""
    return f"held > 0 AND held = {number_of(hold)}"


class SqliteDecisions(Decisions):
    """Decisions on SQLite."""

    def __init__(
        self, connections: Connections, leadership: Deciding, events: EventRows, signals: Signals
    ):
        super().__init__(leadership, events, signals)
        self._connections = connections

    def agenda(self, limit: int, without: Collection[str] = ()) -> Agenda:
        read = self._connections.read
        paused: dict[str, int] = dict(read(PAUSED))
        left_out = {*paused, *without}
        undecided, more = self._undecided(limit, left_out)
        freed, more_freed = self._freed(limit, left_out)
        return Agenda(paused, undecided, freed, more or more_freed)

    def _undecided(self, limit: int, without: Collection[str]) -> tuple[list[Event], bool]:
        """The undecided events that are read now, and whether there may be more."""
        if not without:
            first = "WHERE status = 'pending' AND decided_at IS NULL ORDER BY seq LIMIT ?"
            found, cut = self._some_events(first, (limit + 1,))
            if not cut and len(found) <= limit:
                return found, False
        return self._undecided_in_turn(limit, without)

    def _undecided_in_turn(self, limit: int, without: Collection[str]) -> tuple[list[Event], bool]:
        """The same if there are more than are read at once, or some are left out: webhooks take
        turns."""
        webhooks = self._next_webhooks(without)
        share = fairness.share(limit, len(webhooks))
        firsts = [
            [seq for (seq,) in self._connections.read(_NEXT_OF_WEBHOOK, (webhook, share))]
            for webhook in webhooks
        ]
        events: list[Event] = []
        room = fairness.BYTES
        for seq in fairness.in_turn(firsts)[:limit]:
            if room <= 0:
                break
            for row in self._connections.read(_WHOLE, (seq,)):
                events.append(rows.event(row))
                room -= size(row)
        events.sort(key=lambda event: event.seq)
        self._undecided_after = fairness.last_served(webhooks, {event.webhook for event in events})
        has_more = any(len(seqs) == share for seqs in firsts)
        return events, room <= 0 or len(webhooks) == fairness.WEBHOOKS or has_more

    def _next_webhooks(self, without: Collection[str]) -> list[str]:
        """The webhooks with undecided events whose turn is next."""
        values = {"after": self._undecided_after, "most": fairness.WEBHOOKS + len(without)}
        found: list[str] = []
        for statement in (_WEBHOOKS_AFTER, _WEBHOOKS_TO):
            if len(found) < fairness.WEBHOOKS:
                names = [name for (name,) in self._connections.read(statement, values)]
                found += [name for name in names if name not in without]
        return found[: fairness.WEBHOOKS]

    def _freed(self, limit: int, without: Collection[str]) -> tuple[list[Event], bool]:
        # They are few, even with paused webhooks: no more than calls can be in flight.
        others = "webhook NOT IN (SELECT value FROM json_each(?))"
        first = f"WHERE {_has_hold('recheck')} AND {others} ORDER BY seq LIMIT ?"
        found, cut = self._some_events(first, (list(without), limit))
        return found, cut or len(found) == limit

    def _some_events(self, where: str, parameters: Iterable[Any]) -> tuple[list[Event], bool]:
        """The first events, and whether their payloads were too large to read them all."""
        sql = f"SELECT {rows.EVENT} FROM events {where}"
        found, cut = self._connections.read_some(sql, parameters, fairness.BYTES, size)
        return [rows.event(row) for row in found], cut


# Each part of a list is read from one index, newest first. SQLite wouldn't choose all of them by
# itself.
_ALL = "bridge.events WHERE seq < %(before)s"
_UNDECIDED = (
    "bridge.events INDEXED BY events_pending WHERE status = 'pending' AND decided_at IS NULL AND"
    " seq < %(before)s"
)
_DECIDED = (
    "bridge.events INDEXED BY events_pending WHERE status = 'pending' AND decided_at >= 0 AND seq <"
    " %(before)s"
)
_UNDECIDED_OF_WEBHOOK = (
    "bridge.events INDEXED BY events_undecided WHERE decided_at IS NULL AND webhook = %(webhook)s"
    " AND seq < %(before)s"
)
_DECIDED_OF_WEBHOOK = (
    "bridge.events INDEXED BY events_decided WHERE status = 'pending' AND decided_at IS NOT NULL"
    " AND webhook = %(webhook)s AND seq < %(before)s"
)


def _finished(status: EventStatus, webhook: bool) -> str:
    if webhook:
        index, of_webhook = "events_of_webhook", " AND webhook = %(webhook)s"
    else:
        index, of_webhook = "events_status", ""
    return (
        f"bridge.events INDEXED BY {index}"
        f" WHERE status != 'pending' AND status = '{status}'{of_webhook} AND seq < %(before)s"
    )


class SqliteQueries(Queries):
    """Queries on SQLite."""

    def _parts_of(self, query: EventFilter) -> list[str]:
        webhook = query.webhook is not None
        if query.status is None and not webhook:
            return [_ALL]
        pending = (
            [_UNDECIDED_OF_WEBHOOK, _DECIDED_OF_WEBHOOK] if webhook else [_UNDECIDED, _DECIDED]
        )
        statuses = STATUSES if query.status is None else (query.status,)
        finished = [_finished(status, webhook) for status in statuses if status != "pending"]
        return [*(pending if "pending" in statuses else ()), *finished]

    def event_counts(self) -> dict[str, int]:
        counts = dict(self._database.read("SELECT status, number FROM finished_events"))
        counts["pending"] = self._database.read(
            "SELECT count(*) FROM events WHERE status = 'pending'"
        )[0][0]
        return {status: counts[status] for status in STATUSES if counts.get(status)}
