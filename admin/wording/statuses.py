"""An event's status, effects and failures in words: the same wherever events are listed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from config.quantities import counted
from store.processes import AdminStore
from store.records import Event, SetAside, Target, TargetKind, TargetState
from store.rules.transitions import FAILED
from store.sql.queries import Queries

_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class StatusContext:
    """What an event's status depends on besides the event and its targets."""

    now: int
    paused: Mapping[str, int]
    """Webhook → since when it is paused."""
    events: Mapping[str, SetAside]
    """Event → why it is set aside."""
    targets: Mapping[str, SetAside]
    """Number of a target → why it is set aside."""


def status_context(
    store: AdminStore, events: Iterable[Event], targets: Mapping[str, Sequence[Target]]
) -> StatusContext:
    """What the statuses of these events depend on."""
    pending = [event.id for event in events if event.status == "pending"]
    calls = [
        str(target.id)
        for id_ in pending
        for target in targets.get(id_, ())
        if target.state == "pending"
    ]
    items = store.quarantine.items
    return StatusContext(
        store.now(),
        store.pauses.paused() if pending else {},
        {item.id: item for item in items("event", ids=pending)} if pending else {},
        {item.id: item for item in items("target", ids=calls)} if calls else {},
    )


def describe_status(event: Event, targets: Sequence[Target], context: StatusContext) -> str:
    """``held until 12:31 UTC``, ``retrying (3 tries, next 12:02 UTC)``, ``resolved by replay``, …"""
    if event.status != "pending":
        return _describe_settled(event)
    waiting = [target for target in targets if target.state == "pending"]
    aside = _set_aside(event, waiting, context)
    if aside is not None:
        return f"quarantined ({_tries(aside.tries)}, next {_clock(aside.due_at, context.now)})"
    if event.decided_at is None:
        return "paused" if event.webhook in context.paused else "to be decided"
    if event.hold == "held":
        return f"held until {_clock(event.hold_until, context.now)}"
    if event.hold == "unless":
        return "looking for a taker"
    if event.hold == "recheck":
        return "free again"
    if not waiting and any(target.state == "queued" for target in targets):
        return "waiting for earlier messages"
    return _describe_calls(waiting, context.now)


def _describe_settled(event: Event) -> str:
    if event.resolved_by is not None:
        return "resolved by replay"
    if event.acknowledged_at is not None:
        return f"{event.status}, acknowledged"
    return event.status


def _describe_calls(waiting: Iterable[Target], now: int) -> str:
    tried = [target for target in waiting if target.attempts]
    if not tried:
        return "being delivered"
    tries = _tries(max(target.attempts for target in tried))
    return f"retrying ({tries}, next {_clock(min(target.due_at for target in tried), now)})"


def _set_aside(event: Event, waiting: Iterable[Target], context: StatusContext) -> SetAside | None:
    """Why the event, or the first of these targets, is set aside."""
    items = [context.targets.get(str(target.id)) for target in waiting]
    return next(filter(None, [context.events.get(event.id), *items]), None)


def describe_effects(targets: Iterable[Target]) -> str:
    """``completed 2 tasks, started 1 workflow``; empty if nothing has come of it."""
    done = Counter(target.kind for target in targets if target.state == "done")
    return ", ".join(
        f"{did} {_at_most_listed(done[kind], what)}"
        for kind, (did, what) in _EFFECTS.items()
        if done[kind]
    )


_EFFECTS: Mapping[TargetKind, tuple[str, str]] = {
    "complete": ("completed", "task"),
    "start": ("started", "workflow"),
    "message": ("sent", "message"),
}


def _at_most_listed(number: int, what: str) -> str:
    """``2 tasks``; a list reads no more than so many."""
    return f"{number} or more {what}s" if number == TARGETS_LISTED else counted(number, what)


def _tries(number: int) -> str:
    return f"{number} {'try' if number == 1 else 'tries'}"


def _clock(at: int, now: int) -> str:
    """The time of day, with the date if it is another day's."""
    form = "%H:%M UTC" if at // _DAY == now // _DAY else "%Y-%m-%d %H:%M UTC"
    return datetime.fromtimestamp(at / 1000, timezone.utc).strftime(form)


TARGETS_LISTED = 100
"""Targets of each kind and state that are read of an event that has more in all."""


@dataclass(frozen=True, slots=True)
class EventTargets:
    """An event's targets in the order in which they were created: all of them, unless there are
    very many."""

    some: Sequence[Target]
    """The first `TARGETS_LISTED`, whose places here are their numbers, and then some of each kind
    and state."""
    others: Mapping[TargetState, int] = field(default_factory=dict)
    """State → how many others have it."""

    @property
    def number(self) -> int:
        """Of all targets."""
        return len(self.some) + sum(self.others.values())

    def beyond(self, first: int) -> dict[TargetState, int]:
        """State → how many have it of those that come after the first ones. `first`:
        `TARGETS_LISTED` at most."""
        return dict(Counter(target.state for target in self.some[first:]) + Counter(self.others))


def read_targets(queries: Queries, event_id: str) -> EventTargets:
    """The event's targets. Raises StoreUnavailable."""
    found = {target.id: target for target in queries.some_targets_of([event_id], TARGETS_LISTED)}
    if len(found) < TARGETS_LISTED:
        return EventTargets(list(found.values()))
    found |= {target.id: target for target in queries.targets_in_order(event_id, TARGETS_LISTED)}
    others = Counter(queries.target_states(event_id))
    others.subtract(target.state for target in found.values())
    return EventTargets([found[id_] for id_ in sorted(found)], +others)


UNKNOWN = "no reason is known"
_LONGEST = 200
_ID = re.compile(
    r"""[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}  # a UUID
      | \b(?=(?:[\w-]*?\d){5})[\w-]{6,}\b                                             # another id
      | \b\d+(?:[.,:]\d+)+\b                                                         # a time
      | (?<!^)(?<!version.)\b\d{2,}\b           # a number, but no version, and no status that begins the text
    """,
    re.VERBOSE,
)


def reason_of(error: str | None) -> str:
    """The error on one line, with ``…`` for what is different each time: ids, times, numbers.

    Names, versions and statuses stay: they are the clue.
    """
    if not error or not error.strip():
        return UNKNOWN
    text = _ID.sub("…", " ".join(error[: 4 * _LONGEST].split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def failure_reasons(queries: Queries, event_ids: Sequence[str]) -> dict[str, set[str]]:
    """event id → why its targets failed, for those of these events of which one did. Raises
    StoreUnavailable."""
    found: dict[str, set[str]] = {}
    for target in queries.some_targets_of(event_ids, TARGETS_LISTED):
        if target.state in FAILED:
            found.setdefault(target.event_id, set()).add(reason_of(target.error))
    return found
