"""This machine's clocks, and how a server's clock (Conductor's, the database's) compares with
them."""

from __future__ import annotations

import time
from typing import Protocol

_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class MonotonicClock(Protocol):
    """Counts seconds and only moves forward, like `time.monotonic`."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""


class PausingClock(MonotonicClock, Protocol):
    """A clock that can also be waited for, like the module `time`."""

    def sleep(self, seconds: float, /) -> object:
        """Returns after that time."""


def since_boot() -> float:
    """Seconds by a clock that nobody can set and that keeps running while the machine sleeps, where
    there is one."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


class SteadyClock:
    """This machine's clock as of construction, advancing steadily since: setting the machine's
    clock has no effect."""

    def __init__(self) -> None:
        self._ahead = time.time() - since_boot()

    def now(self) -> float:
        """Unix milliseconds."""
        return (since_boot() + self._ahead) * 1000


_FORMER = 100
"""Offsets that are remembered: by then nobody waits any more for what is older."""
_DRIFT = 1000.0
"""Smaller contradictions come from clocks that run unevenly."""


class ServerClock:
    """How far a server's clock is ahead of this machine's, estimated from its answers. All times in
    milliseconds.

    Each answer bounds the offset: the server read its clock after the request was sent and before
    the answer came. The narrowest bound counts until one contradicts it, which means that a clock
    was set. The offset before that still counts for times from before.
    """

    def __init__(self) -> None:
        self._low = float("-inf")
        self._high = float("inf")
        self._answered = float("-inf")
        """When the last answer came."""
        self._former: tuple[tuple[float, float], ...] = ()
        """Offsets before a clock was set, each with the last of our times for which it counts."""

    def observe(self, server: float, sent: float, received: float, precision: float = 0) -> None:
        """Learns from one answer: the server's clock, and ours when the request left and when the
        answer came.

        `precision` is how much later than `server` its clock may have been: 1000 for a time in
        whole seconds.
        """
        low, high = server - received, server + precision - sent
        if low > high:
            return
        before = self.offset
        contradicts = low > self._high or high < self._low
        if contradicts or high - low < self._high - self._low:
            self._low, self._high = low, high
        change = self.offset - before
        if contradicts and abs(change) > _DRIFT:
            # No later time is surely from before, whichever clock was set, and whenever after the
            # last answer.
            until = min(received + change, self._answered - change)
            self._former = (*self._former, (until, before))[-_FORMER:]
        self._answered = received

    @property
    def offset(self) -> float:
        """Server minus ours: the value closest to 0 that the bounds allow."""
        return min(max(0.0, self._low), self._high)

    @property
    def most(self) -> float:
        """Server minus ours, at most; infinite before the first answer."""
        return self._high

    def to_local(self, server: float) -> float:
        """Our clock's time at that time of the server's."""
        return server - self.offset

    def comparable(self, ours: float) -> float:
        """A time that our clock has shown, made comparable with those of `to_local`: unchanged,
        unless a clock was set since."""
        offset = next((before for until, before in self._former if ours <= until), self.offset)
        return ours + offset - self.offset

    def shown_before(self, comparable: float) -> float:
        """A time before which all that our clock has shown compares as earlier than `comparable`."""
        most = max((before for _, before in self._former), default=self.offset)
        return comparable - max(0.0, most - self.offset)
