"""The events that wait for something: what a list calls held, paused, retrying or quarantined.

What they wait for is in tables and indexes of only the few that are live, so that lists cost the same however many
events have ended. What is read of those is bounded too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from store.event_filter import EventFilter
from store.sql.database import Database
from store.sql.holds import HELD
from store.sql.pauses import PAUSED

_CANDIDATES = 10_000
"""Events that are set aside, or are retried, that a list is made of, at most."""
_TARGETS = 100_000
"""Pending targets that are looked at, at most: those that are due last, as what is retried is due later."""
_PAUSED_WEBHOOKS = 400
"""Paused webhooks whose events are listed together, at most: a statement can't have more parts."""

_ASIDE = "SELECT id FROM bridge.quarantine WHERE kind = %s ORDER BY due_at DESC LIMIT %s"
# A function of the state: PostgreSQL would look for some targets among all pending ones.
_EVENTS_OF = "SELECT event_id FROM bridge.targets WHERE id = ANY(%s) AND coalesce(state, '') = 'pending'"
_PENDING = "SELECT event_id, attempts FROM bridge.targets WHERE state = 'pending'{} ORDER BY due_at DESC LIMIT %s"
_TRIED = f"SELECT event_id FROM ({_PENDING}) AS newest WHERE attempts > 0 LIMIT %s"
# By their sequence numbers: with ids and a limit, PostgreSQL would look for them among all events, newest first.
_SEQS = "SELECT seq FROM bridge.events WHERE id = ANY(%s) AND status = 'pending'"
_LISTED = "bridge.events WHERE seq = ANY(%(those)s) AND +seq < %(before)s"
_NOT_ASIDE = " AND NOT seq = ANY(%(aside)s)"
_DIGITS = 18
"""A target's number has no more."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The parts of a list, as `Queries._parts_of` has them, and their further parameters."""

    parts: Sequence[str]
    values: dict[str, Any]


def waiting_for(database: Database, query: EventFilter) -> Waiting:
    """The events of the filter's `waiting`."""
    aside = _set_aside(database)
    of_webhook = "" if query.webhook is None else " AND webhook = %(webhook)s"
    if query.waiting == "quarantined":
        return Waiting([f"{_LISTED}{of_webhook}"], {"those": _seqs(database, _SEQS, aside)})
    if query.waiting == "retrying":
        only, values = ("", []) if query.webhook is None else (" AND webhook = %s", [query.webhook])
        found = database.read(_TRIED.format(only), (*values, _TARGETS, _CANDIDATES))
        tried = sorted({event_id for (event_id,) in found} - set(aside))
        return Waiting([f"{_LISTED}{of_webhook}"], {"those": _seqs(database, f"{_SEQS} AND held <= 0", tried)})
    if query.waiting == "held":
        held = f"bridge.held_events AS part WHERE held = {HELD} AND status = 'pending' AND seq < %(before)s"
        return Waiting([f"{held}{of_webhook}{_NOT_ASIDE}"], {"aside": _seqs(database, _SEQS, aside)})
    paused = sorted(webhook for webhook, _ in database.read(PAUSED) if query.webhook in (None, webhook))
    names = {f"paused{number}": name for number, name in enumerate(paused[:_PAUSED_WEBHOOKS])}
    parts = [f"bridge.undecided AS part WHERE webhook = %({name})s AND seq < %(before)s" for name in names]
    return Waiting(parts, names)


def _seqs(database: Database, sql: str, event_ids: list[str]) -> list[int]:
    return [seq for (seq,) in database.read(sql, (event_ids,))] if event_ids else []


def _set_aside(database: Database) -> list[str]:
    """The events that are set aside, or that have a target that is."""
    events, targets = (
        [id_ for (id_,) in found]
        for found in database.read_together(*((_ASIDE, (kind, _CANDIDATES)) for kind in ("event", "target")))
    )
    numbers = [int(id_) for id_ in targets if id_.isdecimal() and len(id_) <= _DIGITS]
    of_targets = database.read(_EVENTS_OF, (numbers,)) if numbers else []
    return sorted({*events, *(event_id for (event_id,) in of_targets)})
