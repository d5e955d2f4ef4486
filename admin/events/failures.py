"""Unresolved failed events, grouped by webhook and reason."""

from __future__ import annotations

from dataclasses import dataclass

from admin.bridge import Bridge
from admin.events.search import UNKNOWN, reason_of
from admin.events.targets import TARGETS_LISTED
from store.event_filter import EventFilter, EventPage

_PAGE = 500
_EXAMINED = 5000
"""Failed events that are looked at, at most."""


@dataclass(slots=True)
class Failure:
    """Failed events of one webhook that have one reason."""

    webhook: str
    reason: str
    """Without ids and numbers."""
    number: int
    first_at: int
    """When the first of them arrived."""
    last_at: int
    last_event: str
    """The id of the last."""


@dataclass(frozen=True, slots=True)
class Failures:
    """All of them, the most frequent first."""

    groups: tuple[Failure, ...]
    events: int
    """Failed events that were looked at."""
    searched_to: int | None
    """When the oldest of these arrived, if there are more; None if these are all."""


def failures(bridge: Bridge, webhook: str | None = None) -> Failures:
    """The newest 5,000 failed events that are neither acknowledged nor resolved, by webhook and reason.

    An event that failed for several reasons is counted with each.
    """
    groups: dict[tuple[str, str], Failure] = {}
    before: int | None = None
    number = 0
    page = EventPage(())
    while number < _EXAMINED:
        page = bridge.page(EventFilter(webhook, before_seq=before, unresolved=True, limit=_PAGE))
        reasons: dict[str, set[str]] = {event.id: set() for event in page.events}
        for target in bridge.store.queries.some_targets_of(list(reasons), TARGETS_LISTED):
            if target.state == "failed":
                reasons[target.event_id].add(reason_of(target.error))
        for event in page.events:
            for reason in reasons[event.id] or {UNKNOWN}:
                key, at = (event.webhook, reason), event.received_at
                group = groups.setdefault(key, Failure(*key, 0, at, at, event.id))
                group.number += 1
                group.first_at, group.last_at = min(group.first_at, at), max(group.last_at, at)
        number += len(page.events)
        if len(page.events) < _PAGE:
            break
        before = page.events[-1].seq
    in_order = tuple(sorted(groups.values(), key=lambda group: (-group.number, -group.last_at)))
    is_cut = len(page.events) == _PAGE
    return Failures(in_order, number, page.events[-1].received_at if is_cut else None)
