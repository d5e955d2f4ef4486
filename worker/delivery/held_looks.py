"""How often workflows are looked for that messages are held for: pure, for any thread."""

from __future__ import annotations

import heapq
import threading

_SOONEST, _RAREST = 1.0, 15.0
"""Seconds between two looks for one message: a quarter of the time for which it was held, within these bounds."""
_A_SECOND = 20.0
"""Looks for one webhook's messages. Each is two requests, and there may be thousands, each with a key of its own."""


class HeldLooks:
    """When held messages are looked at next. Those of a webhook that has too many are all looked at more rarely; others
    don't wait for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_webhook: dict[str, _Looks] = {}

    def pause(self, webhook: str, now: int, held_for: float) -> float:
        """Seconds until the next look for a message that was looked at `now` (Unix milliseconds), and was held for this
        many seconds."""
        wanted = min(_RAREST, max(_SOONEST, held_for / 4))
        with self._lock:
            looks = self._by_webhook.setdefault(webhook, _Looks())
            pause = looks.add(now / 1000, wanted)
            for name in [name for name, other in self._by_webhook.items() if other.is_over(now / 1000)]:
                del self._by_webhook[name]
            return pause


class _Looks:
    """Those to come of one webhook."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, float]] = []
        """When each is due (Unix seconds), and how many a second there would be of it. A heap."""
        self._wanted = 0.0
        """How many a second there would be of all of them."""

    def add(self, now: float, wanted: float) -> float:
        """The pause until another look, which should come after this many seconds."""
        self._forget(now)
        self._wanted += 1 / wanted
        # Those that came first were to be looked at often, and count as such until they are due.
        evenly = (len(self._ends) + 1) / _A_SECOND
        pause = max(wanted, min(evenly, wanted * self._wanted / _A_SECOND))
        heapq.heappush(self._ends, (now + pause, 1 / wanted))
        return pause

    def is_over(self, now: float) -> bool:
        """Whether none is to come."""
        self._forget(now)
        return not self._ends

    def _forget(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            self._wanted -= heapq.heappop(self._ends)[1]
        if not self._ends:
            self._wanted = 0.0  # however sums are rounded
