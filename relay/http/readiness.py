"""Whether the store can be written, checked once for all callers at about the same time."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from store.clock import MonotonicClock
from store.errors import StoreUnavailable
from store.sql.deliveries import Deliveries

FRESH_FOR = 1.0
"""Seconds for which a result is reused, since a check costs a write."""


class Readiness:
    """Thread-safe."""

    def __init__(self, store: Deliveries, patience: float, clock: MonotonicClock = time):
        """A check takes no more than `patience` seconds."""
        self._store = store
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._checked_at = float("-inf")
        self._ready = False

    def __call__(self) -> bool:
        """Whether the store could be written within the last second. Callers during a check wait for its result."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._checked_at >= FRESH_FOR:
                self._ready = False
                try:
                    with suppress(StoreUnavailable):
                        self._store.check_writable(now + self._patience)
                        self._ready = True
                finally:
                    self._checked_at = self._clock.monotonic()
            return self._ready
