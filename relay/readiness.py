"""Whether the store can be written: looked at once for all who ask at about the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from store.deadline import within
from store.errors import StoreUnavailable

FRESH_FOR = 1.0
"""Seconds for which what was found is answered again: to look costs a write."""


class Readiness:
    """Safe for threads."""

    def __init__(self, look: Callable[[], None], patience: float, clock: Callable[[], float] = time.monotonic):
        """`look` raises StoreUnavailable, after `patience` seconds at the latest."""
        self._look = look
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at: float | None = None
        self._ready = False

    def __call__(self) -> bool:
        """Whether it can be written, as found a second ago at most. Whoever comes during a look waits for it."""
        with self._lock:
            if self._looked_at is None or self._clock() - self._looked_at >= FRESH_FOR:
                self._ready = False
                try:
                    with within(self._patience), suppress(StoreUnavailable):
                        self._look()
                        self._ready = True
                finally:
                    self._looked_at = self._clock()
            return self._ready
