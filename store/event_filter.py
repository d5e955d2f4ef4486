"""Which events people ask for, and what they get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from store.records import Event, EventStatus, Waiting


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list, newest first."""

    webhook: str | None = None
    status: EventStatus | None = None
    before_seq: int | None = None
    limit: int = 50
    text: str | None = None
    """Part of the event's or delivery's id, or of the payload, whatever its case in ASCII. Older events than the
    newest 100,000 are found by their full id."""
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
    """Webhooks whose events are searched for type and text. Those of all others are returned unsearched, for the caller
    to examine: how long a search takes must not depend on what is hidden. None: all webhooks."""
    listing: bool = False
    """Leaves payloads, headers and queries empty: they are large, and lists don't show them."""

    @property
    def searches(self) -> bool:
        """Whether no index leads to its events, so that only the newest 100,000 before `before_seq` are searched."""
        return bool(self.text or self.type or self.contains or self.resolved)


@dataclass(frozen=True, slots=True)
class EventPage:
    """The newest events of a filter."""

    events: Sequence[Event]
    """Newest first."""
    searched_to: Event | None = None
    """The oldest event that was searched, if older ones weren't; without its payload."""
