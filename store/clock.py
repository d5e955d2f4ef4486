"""This machine's clocks, and how a server's clock (Conductor's, the database's) compares with
them."""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

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
"""Offsets that are remembered, at most."""
_DRIFT = 1000.0
"""Smaller contradictions come from clocks that run unevenly."""


class _Former(NamedTuple):
    """An offset from before a clock was set, and which of our times are surely from then."""

    after: float
    """Earlier ones may be from before another step."""
    until: float
    """Later ones may be from after the step."""
    offset: float


class ServerClock:
    """How far a server's clock is ahead of this machine's, estimated from its answers. All times in
    milliseconds.

    Each answer bounds the offset: the server read its clock after the request was sent and before
    the answer came. The narrowest bound counts until one contradicts it, which means that a clock
    was set. The offset before that still counts for times that our clock showed only before.
    """

    def __init__(self) -> None:
        self._low = float("-inf")
        self._high = float("inf")
        self._answered = float("-inf")
        """When the request left whose answer came last."""
        self._after = float("-inf")
        """Later times are surely from after the last step."""
        self._former: list[_Former] = []

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
        if contradicts and abs(self.offset - before) > _DRIFT:
            self._remember(before, received)
        self._answered = sent

    def _remember(self, offset: float, received: float) -> None:
        """A clock was set after the last answer and before the one that was just received."""
        change = self.offset - offset
        # Whichever clock was set: if ours was set back, it shows the last times again.
        until = min(received + change, self._answered - change)
        former = [*self._former, _Former(self._after, until, offset)]
        shown_once = [one._replace(until=min(one.until, until)) for one in former]
        self._former = [one for one in shown_once if one.after < one.until][-_FORMER:]
        self._after = max(self._after, received, received + change)

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
        was_then = (one.offset for one in self._former if one.after < ours <= one.until)
        return ours + next(was_then, self.offset) - self.offset

    def shown_before(self, comparable: float) -> float:
        """A time before which all that our clock has shown compares as earlier than `comparable`."""
        earliest = comparable
        for one in self._former:
            ours = comparable - one.offset + self.offset
            if ours <= one.until:
                earliest = min(earliest, ours)
        return earliest
