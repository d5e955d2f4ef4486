"""How long the steps of a process may wait for its database."""

from __future__ import annotations

import time

_AT_LAST = 1.5
"""Seconds for one step of a process that is stopping."""


class WaitLimits:
    """How long the steps of one process may wait, in all of its threads. Times are by `time.monotonic`."""

    def __init__(self) -> None:
        self._longest = self._end = float("inf")

    def end_in(self, seconds: float) -> None:
        """The process is stopping: from now on no step waits long, and none beyond this many seconds from now.

        Safe in signal handlers.
        """
        self._longest = _AT_LAST
        self._end = min(self._end, time.monotonic() + seconds)

    def until(self, seconds: float, latest: float = float("inf")) -> float:
        """Until when a step with this many `seconds` may wait, and no later than `latest`."""
        return min(time.monotonic() + min(seconds, self._longest), self._end, latest)

    def is_over(self, until: float) -> bool:
        """Whether that time has come, or the process has run out of time."""
        return time.monotonic() >= min(until, self._end)
