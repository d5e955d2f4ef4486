"""The database's clock, as one process knows it."""

from __future__ import annotations

import time

from store.clock import ServerClock, SteadyClock
from store.sql.database import Rows

READ = "SELECT extract(epoch FROM clock_timestamp()) * 1000"
_AGE = 15.0
"""Seconds after which the clock is read again, unless a transaction has begun since: each reads it."""


class DatabaseClock:
    """Setting this machine's clock has no effect on it."""

    def __init__(self, own: SteadyClock):
        """`own` is this machine's clock."""
        self.own = own
        self._server = ServerClock()
        self._read_at = float("-inf")

    def now(self) -> int:
        """The database's time in milliseconds, by its last measured offset."""
        return round(self.own.now() + self._server.offset)

    @property
    def is_due(self) -> bool:
        """Whether the clock is to be read again."""
        return time.monotonic() >= self._read_at + _AGE

    def observe(self, found: Rows, sent: float) -> None:
        """Learns from the answer to `READ`, which has just come; the request left at that time of our own clock."""
        self._server.observe(float(found[0][0]), sent, self.own.now())
        self._read_at = time.monotonic()
