"""A monotonic clock that stands still until a test moves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Implements `store.clock.MonotonicClock`."""

    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds
