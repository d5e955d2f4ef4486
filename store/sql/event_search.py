"""Finds events by what people ask for, and by what pending ones wait for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from store.records import Event, EventStatus, Waiting
from store.sql import rows
from store.sql.database import Database
from store.sql.facts import PAUSED
from store.sql.rows import HELD


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list, newest first."""

    webhook: str | None = None
    status: EventStatus | None = None
    before_seq: int | None = None
    limit: int = 50
    text: str | None = None
    """Part of the event's or delivery's id, or of the payload, whatever its case in ASCII. Older
    events than the newest 100,000 are found by their full id."""
    unresolved: bool = False
    """Only failed events that are neither acknowledged nor resolved; `status` is ignored then."""
    resolved: bool = False
    """Only events that a replay resolved."""
    waiting: Waiting | None = None
    """Only pending events that wait for this; `status` is ignored then."""
    type: str | None = None
    """Only events of this type; of all types that begin so, if it ends with ``*``."""
    contains: tuple[str, ...] = ()
    """Only events whose payload has all of these, whatever their case in ASCII."""
    since: int | None = None
    """Only events that arrived at this time or later."""
    until: int | None = None
    """Only events that arrived before this time."""
    after_seq: int = 0
    searchable: Sequence[str] | None = None
    """Webhooks whose events are searched for type and text. Those of all others are returned
    unsearched, for the caller to examine: how long a search takes must not depend on what is
    hidden. None: all webhooks."""
    listing: bool = False
    """Leaves payloads, headers and queries empty: they are large, and lists don't show them."""

    @property
    def searches(self) -> bool:
        """Whether no index leads to its events, so that only the newest 100,000 before `before_seq`
        are searched."""
        return bool(self.text or self.type or self.contains or self.resolved)

    @property
    def of_webhook(self) -> str:
        """SQL that restricts to its webhook, to be appended to a condition."""
        if self.webhook is None:
            return ""
        return " AND webhook = %(webhook)s"


@dataclass(frozen=True, slots=True)
class EventPage:
    """The newest events of a filter."""

    events: Sequence[Event]
    """Newest first."""
    searched_to: Event | None = None
    """The oldest event that was searched, if older ones weren't; without its payload."""


SEARCHED = 100_000
"""Events that one search reads at most."""
PATIENCE = 3.0
"""Seconds after which a search ends: a person waits for it."""
_SLICE = 250
"""Events that are searched by one statement at first; more while that is quick."""
_QUICK = 0.2
"""Seconds."""
_NEWEST = 2**62
"""More than any `seq`."""
_OUT_OF_ORDER = 60_000
"""Milliseconds by which the times of events may be out of order: the clocks of several relays
differ."""

# Only ASCII is folded, so that both databases find the same, whatever their locale.
_PAYLOAD = 'lower(payload COLLATE "C")'
_TEXT = (
    "(strpos(id, %(text)s) > 0 OR strpos(lower(coalesce(delivery_id, '') COLLATE \"C\"), %(text)s)"
    f" > 0 OR strpos({_PAYLOAD}, %(text)s) > 0)"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The events that are looked at: those before one sequence number, and after another."""

    before: int
    after: int
    is_cut: bool
    """Whether there are older ones that should be searched too."""


def slices(bounds: Bounds) -> Iterator[Bounds]:
    """The bounds in parts, the newest first, until it has taken too long: payloads may be large.

    `is_cut` says of each whether there are older events that should be searched too.
    """
    until, before, size = time.monotonic() + PATIENCE, bounds.before, _SLICE
    while True:
        after = max(bounds.after, before - 1 - size)
        is_last = after <= bounds.after
        began = time.monotonic()
        yield Bounds(before, after, bounds.is_cut or not is_last)
        now = time.monotonic()
        if is_last or now > until:
            return
        before = after + 1
        if now - began < _QUICK:
            size *= 4
        else:
            size = max(size // 2, _SLICE)


def bounds_of(database: Database, query: EventFilter) -> Bounds:
    """The events to look at for this filter."""
    before = _NEWEST if query.before_seq is None else query.before_seq
    after = query.after_seq
    if query.since is not None:
        after = max(after, firsts_at(database, [query.since - _OUT_OF_ORDER])[0] - 1)
    if query.until is not None:
        before = min(before, firsts_at(database, [query.until + _OUT_OF_ORDER])[0])
    if not query.searches:
        return Bounds(before, after, False)
    newest = database.read(
        "SELECT seq FROM bridge.events WHERE seq < %s ORDER BY seq DESC LIMIT 1", (before,)
    )
    if not newest:
        return Bounds(after + 1, after, False)
    before, last = newest[0][0] + 1, newest[0][0] - SEARCHED
    if last <= after:
        return Bounds(before, after, False)
    older = database.read(
        "SELECT seq FROM bridge.events WHERE seq <= %s AND seq > %s ORDER BY seq DESC LIMIT 1",
        (last, after),
    )
    return Bounds(before, last, bool(older))


_MIDDLE = """
SELECT e.received_at FROM bridge.events e WHERE e.seq >= (low + high) / 2 ORDER BY e.seq LIMIT 1
"""
_HALVING = f"""
WITH RECURSIVE halving (place, at, low, high) AS (
    SELECT place, at, (SELECT seq FROM bridge.events WHERE seq >= 0 ORDER BY seq LIMIT 1),
        (SELECT seq FROM bridge.events WHERE seq < {_NEWEST} ORDER BY seq DESC LIMIT 1) + 1
    FROM ({{asked}}) AS asked
    UNION ALL SELECT place, at,
        CASE WHEN ({_MIDDLE}) < at THEN (low + high) / 2 + 1 ELSE low END,
        CASE WHEN ({_MIDDLE}) < at THEN high ELSE (low + high) / 2 END
    FROM halving WHERE low < high
)
SELECT low FROM halving WHERE low >= high ORDER BY place
"""
_ASKED = "SELECT %s AS place, CAST(%s AS BIGINT) AS at"


def firsts_at(database: Database, times: Sequence[int]) -> list[int]:
    """For each time the first sequence number of that time or later: found by halving, since no
    index has the times."""
    asked = " UNION ALL ".join([_ASKED] * len(times))
    values = [value for pair in enumerate(times) for value in pair]
    found = database.read(_HALVING.format(asked=asked), values)
    return [first for (first,) in found] or [_NEWEST] * len(times)


def oldest(database: Database, bounds: Bounds) -> Event | None:
    """The oldest event within the bounds."""
    sql = f"SELECT {rows.LISTED_EVENT} FROM bridge.events WHERE seq > %s ORDER BY seq LIMIT 1"
    found = database.read(sql, (bounds.after,))
    return rows.event(found[0]) if found else None


def only_of(column: str, value: str | None) -> tuple[str, list[str]]:
    """A condition on this column, to be appended to others, and its parameter; neither for None."""
    if value is None:
        return "", []
    return f" AND {column} = %s", [value]


def by_id(query: EventFilter, which: str) -> str:
    """Table and condition of the event whose id the text is, wherever it is."""
    only = query.of_webhook
    if query.unresolved:
        only += " AND status = 'failed' AND acknowledged_at IS NULL AND resolved_by IS NULL"
    elif query.status is not None:
        only += " AND status = %(status)s"
    return f"bridge.events WHERE id = %(text)s AND seq < %(before)s{only}{which}"


def condition_of(query: EventFilter) -> str:
    """What an event must be besides its webhook and status, to be appended to a condition.
    Parameters: `values_of`."""
    found = ""
    if query.resolved:
        found += " AND resolved_by IS NOT NULL"
    if query.type is not None:
        condition = "type = %(type)s"
        if query.type.endswith("*"):  # its beginning
            condition = "substr(type, 1, %(type_length)s) = %(type)s"
        found += _where_searchable(query, condition)
    if query.since is not None:
        found += " AND received_at >= %(since)s"
    if query.until is not None:
        found += " AND received_at < %(until)s"
    for number in range(len(query.contains)):
        found += _where_searchable(query, f"strpos({_PAYLOAD}, %(contains{number})s) > 0")
    if query.text:
        found += _where_searchable(query, _TEXT)
    return found


def _where_searchable(query: EventFilter, condition: str) -> str:
    return (
        f" AND {condition}"
        if query.searchable is None
        else f" AND (NOT webhook = ANY(%(searchable)s) OR {condition})"
    )


def values_of(query: EventFilter) -> dict[str, Any]:
    """The parameters, without `before` and `after`."""
    kind = (query.type or "").removesuffix("*")
    return {
        "webhook": query.webhook,
        "status": query.status,
        "limit": query.limit,
        "text": _folded(query.text or ""),
        "type": kind,
        "type_length": len(kind),
        "since": query.since,
        "until": query.until,
        "searchable": list(query.searchable or ()),
        **{f"contains{number}": _folded(part) for number, part in enumerate(query.contains)},
    }


def _folded(text: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in text)


_CANDIDATES = 10_000
"""Events that are set aside, or are retried, that a list is made of, at most."""
_TARGETS = 100_000
"""Pending targets that are looked at, at most: those that are due last, as what is retried is due
later."""
_PAUSED_WEBHOOKS = 400
"""Paused webhooks whose events are listed together, at most: a statement can't have more parts."""

_ASIDE = "SELECT id FROM bridge.quarantine WHERE kind = %s ORDER BY due_at DESC LIMIT %s"
# A function of the state: PostgreSQL would look for some targets among all pending ones.
_EVENTS_OF = (
    "SELECT event_id FROM bridge.targets WHERE id = ANY(%s) AND coalesce(state, '') = 'pending'"
)
_PENDING = (
    "SELECT event_id, attempts FROM bridge.targets WHERE state = 'pending'{} ORDER BY due_at DESC"
    " LIMIT %s"
)
_TRIED = f"SELECT event_id FROM ({_PENDING}) AS newest WHERE attempts > 0 LIMIT %s"
# By their sequence numbers: with ids and a limit, PostgreSQL would look for them among all events,
# newest first.
_SEQS = "SELECT seq FROM bridge.events WHERE id = ANY(%s) AND status = 'pending'"
_LISTED = "bridge.events WHERE seq = ANY(%(those)s) AND +seq < %(before)s"
_NOT_ASIDE = " AND NOT seq = ANY(%(aside)s)"


@dataclass(frozen=True, slots=True)
class WaitingEvents:
    """The parts of a list, as `Queries._parts_of` has them, and their further parameters."""

    parts: Sequence[str]
    values: dict[str, Any]


def waiting_for(database: Database, query: EventFilter) -> WaitingEvents:
    """The events of the filter's `waiting`."""
    aside = _set_aside(database)
    if query.waiting == "quarantined":
        return WaitingEvents(
            [f"{_LISTED}{query.of_webhook}"], {"those": _seqs(database, _SEQS, aside)}
        )
    if query.waiting == "retrying":
        only, values = only_of("webhook", query.webhook)
        found = database.read(_TRIED.format(only), (*values, _TARGETS, _CANDIDATES))
        tried = sorted({event_id for (event_id,) in found} - set(aside))
        return WaitingEvents(
            [f"{_LISTED}{query.of_webhook}"],
            {"those": _seqs(database, f"{_SEQS} AND held <= 0", tried)},
        )
    if query.waiting == "held":
        held = (
            f"bridge.held_events AS part WHERE held = {HELD} AND status = 'pending' AND seq <"
            " %(before)s"
        )
        return WaitingEvents(
            [f"{held}{query.of_webhook}{_NOT_ASIDE}"], {"aside": _seqs(database, _SEQS, aside)}
        )
    paused = sorted(
        webhook for webhook, _ in database.read(PAUSED) if query.webhook in (None, webhook)
    )
    names = {f"paused{number}": name for number, name in enumerate(paused[:_PAUSED_WEBHOOKS])}
    parts = [
        f"bridge.undecided AS part WHERE webhook = %({name})s AND seq < %(before)s"
        for name in names
    ]
    return WaitingEvents(parts, names)


def _seqs(database: Database, sql: str, event_ids: list[str]) -> list[int]:
    if not event_ids:
        return []
    return [seq for (seq,) in database.read(sql, (event_ids,))]


def _set_aside(database: Database) -> list[str]:
    """The events that are set aside, or that have a target that is."""
    events, targets = (
        [id_ for (id_,) in found]
        for found in database.read_together(
            *((_ASIDE, (kind, _CANDIDATES)) for kind in ("event", "target"))
        )
    )
    numbers = rows.target_ids(targets)
    of_targets = []
    if numbers:
        of_targets = database.read(_EVENTS_OF, (numbers,))
    return sorted({*events, *(event_id for (event_id,) in of_targets)})
