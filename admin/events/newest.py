"""The newest deliveries of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from admin.bridge import Bridge
from store.delivery_records import WithoutEvent
from store.event_filter import EventFilter
from store.records import Event, Target

SHOWN = 100
"""Deliveries that a list shows."""

Kind = Literal["event", "rejected", "filtered", "duplicate"]


@dataclass(frozen=True)
class LiveDelivery:
    """A delivery as a list shows it."""

    key: str
    """Unique, and the same for as long as it is shown."""
    kind: Kind
    webhook: str
    at: int
    status: str
    """Of an event its status; of others their kind."""
    event_id: str | None
    """The event; of a duplicate the one that it repeats."""
    reason: str = ""
    type: str = ""
    """The event's type, in the sender's words."""
    summary: str = ""
    """What happened, in one line; empty if nothing is known."""
    targets: tuple[Target, ...] = ()
    kept_id: str | None = None
    """Of a rejected delivery, if it is kept with its bytes."""


def newest(bridge: Bridge, webhook: str | None = None, limit: int = SHOWN) -> list[LiveDelivery]:
    """The newest deliveries, newest first."""
    events = bridge.events(EventFilter(webhook, limit=limit))
    others = bridge.store.without_events.newest(webhook, limit)
    targets = bridge.targets_by_event(events)
    found = [_of_event(event, targets[event.id]) for event in events] + [_of_other(one) for one in others[::-1]]
    return sorted(found, key=lambda one: one.at, reverse=True)[:limit]


def _of_event(event: Event, targets: Sequence[Target]) -> LiveDelivery:
    return LiveDelivery(
        event.id,
        "event",
        event.webhook,
        event.received_at,
        event.status,
        event.id,
        type=event.type or "",
        summary=event.summary,
        targets=tuple(targets),
    )


def _of_other(one: WithoutEvent) -> LiveDelivery:
    return LiveDelivery(one.key, one.kind, one.webhook, one.at, one.kind, one.event_id, one.reason, kept_id=one.kept_id)
