"""Log lines that strangers can trigger at will: at most one a second, with the number of lines left
out."""

from __future__ import annotations

import time
from collections.abc import Hashable

from store.clock import MonotonicClock

_EVERY = 1.0
"""Seconds."""


class LogThrottle:
    """There must be few keys: names of webhooks and kinds of lines."""

    def __init__(self, clock: MonotonicClock = time):
        self._clock = clock
        self._last: dict[Hashable, tuple[float, int]] = {}

    def left_out(self, key: Hashable) -> int | None:
        """How many lines were left out before this one; None if this one must be left out too."""
        now = self._clock.monotonic()
        at, left_out = self._last.get(key, (now - _EVERY, 0))
        if now - at < _EVERY:
            self._last[key] = at, left_out + 1
            return None
        self._last[key] = now, 0
        return left_out
