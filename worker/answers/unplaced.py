"""Open answers whose workflow isn't known yet, and when the store is asked for it: pure, for one thread."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

FIRST, LONGEST = 0.1, 2.0
"""Seconds between two look-ups: the pause doubles. This worker's own calls are reported at once, so look-ups only serve
other workers' calls, and events that end without a call."""

_MOST = 5000
"""Events that are looked up a second, on average: the more there are, the longer the pauses."""


@dataclass(slots=True)
class Unplaced:
    """An event that has no workflow yet."""

    until: float
    """Until when the sender waits."""
    due_at: float
    pause: float = FIRST
    reached: dict[int, str | None] = field(default_factory=dict)
    """Its targets whose calls took effect → the workflow started."""


class UnplacedEvents:
    """Event id → what is known. All times are seconds by a monotonic clock."""

    def __init__(self) -> None:
        self._events: dict[str, Unplaced] = {}
        self._order: list[tuple[float, str]] = []
        """By when they are due; may contain outdated places."""

    def __len__(self) -> int:
        return len(self._events)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._events

    def add(self, event_id: str, until: float, now: float) -> None:
        """Looks up its workflow in the store, first at once."""
        self._events[event_id] = one = Unplaced(until, now)
        heapq.heappush(self._order, (one.due_at, event_id))

    def extend(self, event_id: str, until: float) -> None:
        """The sender waits longer."""
        one = self._events[event_id]
        one.until = max(one.until, until)

    def tell(self, event_id: str, target_id: int, workflow_id: str | None, took_effect: bool, now: float) -> None:
        """One of its targets has ended, so its workflow may be known now."""
        one = self._events[event_id]
        if took_effect:
            one.reached[target_id] = workflow_id
        one.due_at, one.pause = now, FIRST
        heapq.heappush(self._order, (now, event_id))

    def due_at(self) -> float:
        """When the next ones are due."""
        while self._order and self._is_outdated(*self._order[0]):
            heapq.heappop(self._order)
        return self._order[0][0] if self._order else float("inf")

    def due(self, now: float, limit: int) -> tuple[dict[str, dict[int, str | None]], list[str]]:
        """Up to `limit` events that are due, each with its `reached`; and those whose senders no longer wait,
        which are forgotten. The others are due again after a pause, unless they are removed."""
        found: dict[str, dict[int, str | None]] = {}
        expired: list[str] = []
        longest = max(LONGEST, len(self._events) / _MOST)
        while len(found) < limit and self.due_at() <= now:
            _, event_id = heapq.heappop(self._order)
            one = self._events[event_id]
            if one.until <= now:
                expired.append(event_id)
                del self._events[event_id]
                continue
            one.due_at, one.pause = now + one.pause, min(2 * one.pause, longest)
            heapq.heappush(self._order, (one.due_at, event_id))
            found[event_id] = one.reached
        return found, expired

    def remove(self, event_id: str) -> float:
        """Its workflow is known, or there is none; returns until when the sender waits."""
        return self._events.pop(event_id).until

    def _is_outdated(self, due_at: float, event_id: str) -> bool:
        one = self._events.get(event_id)
        return one is None or one.due_at != due_at
