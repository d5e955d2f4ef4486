"""A monotonic clock that stands still until a test moves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Implements `store.clock.MonotonicClock`."""

    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Ticking(Clock):
    """The same, but no two readings are equal: what comes later is later."""

    def monotonic(self) -> float:
        self.seconds += 1e-6
        return self.seconds
