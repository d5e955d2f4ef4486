"""Which events are replays of which: what one replay has delivered needs no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from store.protocols import Queries
from store.records import Event


@dataclass(frozen=True, slots=True)
class Family:
    """A sender's event, its replays, and their replays: all have the same payload."""

    origin: str
    """The id of the sender's event, which may be pruned."""
    replays: tuple[Event, ...]
    """Oldest first, without payloads."""

    @property
    def delivered(self) -> Event | None:
        """The first replay that was delivered."""
        return self._first("delivered")

    @property
    def pending(self) -> Event | None:
        """The first replay that is pending, and may be delivered."""
        return self._first("pending")

    def _first(self, status: str) -> Event | None:
        return next((replay for replay in self.replays if replay.status == status), None)

    def replays_of(self, event_id: str) -> list[Event]:
        """The direct replays of one of its events, oldest first."""
        return [replay for replay in self.replays if replay.replay_of == event_id]

    def resolves(self, event: Event) -> str | None:
        """The id of the replay that delivered what the event didn't; None if there is none, or no need."""
        if event.status not in ("failed", "expired", "ignored") or self.delivered is None:
            return None
        return self.delivered.id


def families(queries: Queries, event_ids: Sequence[str]) -> dict[str, Family]:
    """event id → its family, for each of these events; takes a statement for each generation of replays."""
    known = _relatives(queries, event_ids)
    origins = {event_id: _origin(event_id, known) for event_id in (*event_ids, *known)}
    replays: dict[str, list[Event]] = {}
    for event in sorted(known.values(), key=lambda event: event.seq):
        if event.replay_of is not None:
            replays.setdefault(origins[event.id], []).append(event)
    found = {origin: Family(origin, tuple(replays.get(origin, ()))) for origin in set(origins.values())}
    return {event_id: found[origins[event_id]] for event_id in event_ids}


def _relatives(queries: Queries, event_ids: Iterable[str]) -> dict[str, Event]:
    """id → event, of these events and all that are related to them."""
    known: dict[str, Event] = {}
    asked = set[str]()
    while asking := {*event_ids} - asked:
        asked |= asking
        found = queries.with_replays(sorted(asking))
        known.update((event.id, event) for event in found)
        event_ids = [one for event in found for one in (event.id, event.replay_of) if one is not None]
    return known


def _origin(event_id: str, known: dict[str, Event]) -> str:
    seen = {event_id}
    while (event := known.get(event_id)) is not None and event.replay_of is not None and event.replay_of not in seen:
        event_id = event.replay_of
        seen.add(event_id)
    return event_id
