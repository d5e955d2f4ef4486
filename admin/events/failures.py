"""Unresolved failed events, grouped by webhook and reason."""

from __future__ import annotations

from pydantic import Field

from admin.api_object import ApiObject, Time
from admin.bridge import Bridge
from admin.wording.statuses import UNKNOWN, failure_reasons
from store.sql.event_search import EventFilter, EventPage

_PAGE = 500
_EXAMINED = 5000
"""Failed events that are looked at, at most."""


class Failure(ApiObject):
    """Failed events of one webhook that have one reason."""

    webhook: str
    reason: str = Field(
        description="with … for ids and numbers; `failure` of GET /api/events takes it"
    )
    number: int
    first_at: Time
    last_at: Time
    last_event: str


class Failures(ApiObject):
    """Failed events that are neither acknowledged nor resolved, by webhook and reason."""

    groups: list[Failure] = Field(description="the most frequent first")
    events: int = Field(description="failed events that were looked at")
    searched_to: Time | None = Field(
        description="when the oldest of these arrived, if there are more"
    )


def failures(bridge: Bridge, webhook: str | None = None) -> Failures:
    """The newest 5,000 failed events that are neither acknowledged nor resolved, by webhook and
    reason.

    An event that failed for several reasons is counted with each.
    """
    groups: dict[tuple[str, str], Failure] = {}
    before: int | None = None
    number = 0
    page = EventPage(())
    while number < _EXAMINED:
        page = bridge.page(EventFilter(webhook, before_seq=before, unresolved=True, limit=_PAGE))
        reasons = failure_reasons(bridge.store.queries, [event.id for event in page.events])
        for event in page.events:
            for reason in reasons.get(event.id, {UNKNOWN}):
                key, at = (event.webhook, reason), event.received_at
                new = Failure(
                    webhook=key[0],
                    reason=reason,
                    number=0,
                    first_at=at,
                    last_at=at,
                    last_event=event.id,
                )
                group = groups.setdefault(key, new)
                group.number += 1
                group.first_at, group.last_at = min(group.first_at, at), max(group.last_at, at)
        number += len(page.events)
        if len(page.events) < _PAGE:
            break
        before = page.events[-1].seq
    in_order = sorted(groups.values(), key=lambda group: (-group.number, -group.last_at))
    searched_to = page.events[-1].received_at if len(page.events) == _PAGE else None
    return Failures(groups=in_order, events=number, searched_to=searched_to)
