"""Which events are replays of which: what one replay has delivered needs no other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from store.records import Event
from store.rules.replays import is_whole
from store.sql.queries import Queries

REPLAYS_READ = 20
"""Replays of one family that are read, at most: the newest in each status."""


@dataclass(frozen=True, slots=True)
class Family:
    """A sender's event, its replays, and their replays: all have the same payload."""

    origin: str
    """The id of the sender's event, which may be pruned."""
    replays: tuple[Event, ...]
    """The newest, oldest first, without payloads."""

    @property
    def delivered(self) -> Event | None:
        """A replay that was delivered to every target that it may have; None if there is none."""
        return next((one for one in self.replays if one.status == "delivered" and is_whole(one.only)), None)

    @property
    def pending(self) -> Event | None:
        """A replay that is pending, and may be delivered."""
        return next((one for one in self.replays if one.status == "pending"), None)

    def replays_of(self, event_id: str) -> list[Event]:
        """The newest direct replays of one of its events, oldest first."""
        return [one for one in self.replays if one.replay_of == event_id][-REPLAYS_READ:]


def families(queries: Queries, events: Sequence[Event]) -> dict[str, Family]:
    """event id → its family, for each of these events."""
    origins = {event.id: event.origin or event.id for event in events}
    replays = queries.replays(sorted(set(origins.values())), REPLAYS_READ)
    found = {origin: Family(origin, tuple(replays.get(origin, ()))) for origin in set(origins.values())}
    return {event_id: found[origin] for event_id, origin in origins.items()}
