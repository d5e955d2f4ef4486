"""How often to look for the workflows that held messages wait for. Does no I/O. Thread-safe."""

from __future__ import annotations

import heapq
import threading

_SOONEST, _RAREST = 1.0, 15.0
"""Seconds between two look-ups for one message: a quarter of the time for which it was held, within these bounds."""
_LOOK_UPS_A_SECOND = 20.0
"""For one webhook's messages. Each is two requests, and there may be thousands, each with a key of its own."""


class HeldLookUps:
    """Spaces the look-ups. If a webhook has too many messages, there are fewer for each of them; other webhooks
    aren't affected."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_webhook: dict[str, _LookUps] = {}

    def pause(self, webhook: str, now: int, held_for: float) -> float:
        """Seconds from a look-up `now` (Unix milliseconds) until a message's next one; `held_for` is in seconds."""
        wanted = min(_RAREST, max(_SOONEST, held_for / 4))
        with self._lock:
            look_ups = self._by_webhook.setdefault(webhook, _LookUps())
            pause = look_ups.add(now / 1000, wanted)
            for name in [name for name, other in self._by_webhook.items() if other.is_over(now / 1000)]:
                del self._by_webhook[name]
            return pause


class _LookUps:
    """One webhook's look-ups that are still to come."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, float]] = []
        """When each is due (Unix seconds), and its rate (look-ups a second). A heap."""
        self._wanted = 0.0
        """The sum of these rates."""

    def add(self, now: float, wanted: float) -> float:
        """Adds a look-up that should come after `wanted` seconds; returns the seconds after which it does."""
        self._forget(now)
        self._wanted += 1 / wanted
        # Messages that have just arrived want frequent look-ups, and count with that rate until they are due.
        evenly = (len(self._ends) + 1) / _LOOK_UPS_A_SECOND
        pause = max(wanted, min(evenly, wanted * self._wanted / _LOOK_UPS_A_SECOND))
        heapq.heappush(self._ends, (now + pause, 1 / wanted))
        return pause

    def is_over(self, now: float) -> bool:
        """Whether there are none."""
        self._forget(now)
        return not self._ends

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            self._wanted -= heapq.heappop(self._ends)[1]
        if not self._ends:
            self._wanted = 0.0  # so that rounding errors don't add up
