"""Notices that the store's clock was set forward: pure, for one thread.

A claim that was made before then looks older than it is, and its call may still be in flight.
"""

from __future__ import annotations

_STEP = 1000.0
"""Milliseconds that the clock gains between two readings if it was set; clocks that are adjusted gain far less."""


class ClockSteps:
    """The steps within the time that matters."""

    def __init__(self, remembered: float):
        """`remembered`: seconds for which a step matters."""
        self._remembered = remembered
        self._ahead: float | None = None
        self._steps: list[tuple[float, float]] = []

    def forward(self, wall: float, steady: float) -> int:
        """Milliseconds by which the clock was set forward within that time.

        `wall` is the clock's time in milliseconds, `steady` is seconds by a clock that nobody sets.
        """
        ahead = wall - steady * 1000
        gained = 0.0 if self._ahead is None else ahead - self._ahead
        self._ahead = ahead
        if gained >= _STEP:
            self._steps.append((steady, gained))
        self._steps = [(at, step) for at, step in self._steps if steady - at <= self._remembered]
        return int(sum(step for _, step in self._steps))
