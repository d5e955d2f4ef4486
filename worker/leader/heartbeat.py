"""Keeps a term of leadership alive, and knows for how long it is certain."""

from __future__ import annotations

import time

from store.clock import MonotonicClock
from store.errors import LeadershipLost
from store.records import Term
from store.sql.database import Leadership

TERM_SECONDS = 6.0
"""Seconds without a heartbeat after which another worker may become leader."""


class Heartbeat:
    """Belongs to one term. Thread-safe: one thread renews the term, others query it."""

    def __init__(
        self,
        store: Leadership,
        term: Term,
        clock: MonotonicClock = time,
        since: float | None = None,
    ):
        """`since`: when the term was requested from the store, by the clock; now by default."""
        self._store = store
        self._clock = clock
        self.term = term
        self.over = False
        """Whether this worker has ended the term, in which nothing more may be done."""
        self._lost = False
        self._renewed_at = clock.monotonic() if since is None else since

    @property
    def certain_until(self) -> float:
        """Until when (monotonic clock) no other worker can be leader."""
        return self._renewed_at + TERM_SECONDS

    def renew(self) -> bool:
        """Renews the term, unless it is over; False if another worker has become leader. Raises
        StoreUnavailable."""
        if self.over:
            return True
        began = self._clock.monotonic()
        if self._store.renew(self.term, TERM_SECONDS):
            self._renewed_at = began
        elif not self.over:
            self._lost = True
        return not self._lost

    def check(self) -> None:
        """Raises LeadershipLost if, as far as this worker knows, another is leader.

        Checks with the store if the term is no longer certain, as this process may have been
        frozen. Raises StoreUnavailable.
        """
        if self._clock.monotonic() > self.certain_until:
            self.renew()
        if self._lost:
            raise LeadershipLost
