"""How long the steps of a process may wait for its database."""

from __future__ import annotations

import time

_AT_LAST = 1.5
"""Seconds for one step of a process that ends."""


class Patience:
    """Of one process, for all of its threads. Moments are by `time.monotonic`."""

    def __init__(self) -> None:
        self._longest = self._end = float("inf")

    def end_in(self, seconds: float) -> None:
        """The process ends: no step that begins now waits for long, and none beyond so many seconds from now.

        For signal handlers too.
        """
        self._longest = _AT_LAST
        self._end = min(self._end, time.monotonic() + seconds)

    def until(self, seconds: float, latest: float = float("inf")) -> float:
        """Until when a step may wait that has so many `seconds`, and no time beyond `latest`."""
        return min(time.monotonic() + min(seconds, self._longest), self._end, latest)

    def is_over(self, until: float) -> bool:
        """Whether that moment has come, or the process has no more time."""
        return time.monotonic() >= min(until, self._end)
