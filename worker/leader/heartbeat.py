"""Keeps a term of leadership alive, and knows for how long it is certain."""

from __future__ import annotations

import time

from store.clock import MonotonicClock
from store.errors import LeadershipLost
from store.protocols import Leadership
from store.records import Term

TERM_SECONDS = 6.0
"""Seconds without a heartbeat after which another worker may become leader."""


class Heartbeat:
    """Of one term. Thread-safe: one thread renews the term, others ask about it."""

    def __init__(self, store: Leadership, term: Term, clock: MonotonicClock = time, since: float | None = None):
        """`since` is when the store was asked for the term, by the clock; now by default."""
        self._store = store
        self._clock = clock
        self.term = term
        self.over = False
        """Whether this worker has ended the term: nothing more may be done in it."""
        self._lost = False
        self._renewed_at = clock.monotonic() if since is None else since

    @property
    def certain_until(self) -> float:
        """Until when, by the monotonic clock, no other worker can be leader."""
        return self._renewed_at + TERM_SECONDS

    def renew(self) -> bool:
        """Renews the term, unless it is over; False if another worker has become leader. Raises StoreUnavailable."""
        if self.over:
            return True
        began = self._clock.monotonic()
        if self._store.renew(self.term, TERM_SECONDS):
            self._renewed_at = began
        elif not self.over:
            self._lost = True
        return not self._lost

    def check(self) -> None:
        """Raises LeadershipLost if another worker is leader, as far as this one knows.

        Asks the store if the term isn't certain any more: this process may have been frozen. Raises StoreUnavailable.
        """
        if self._clock.monotonic() > self.certain_until:
            self.renew()
        if self._lost:
            raise LeadershipLost
