"""Whether the page can be used, checked on a separate thread so that every probe is answered in time."""

from __future__ import annotations

import threading
import time

import structlog

from admin.page.context import Source
from store.clock import MonotonicClock

PATIENCE = 3.0
"""Seconds that a check may take. The probes of the chart and of compose wait for five."""
_FRESH_FOR = 1.0
"""Seconds for which a result is used again."""

log = structlog.get_logger()


class _Check:
    """One check, on a thread that nobody waits for at the end of the process."""

    def __init__(self, source: Source, clock: MonotonicClock):
        self.began = clock.monotonic()
        self.ended_at = self.began
        self.ended = threading.Event()
        self.problem: str | None = None

        def run() -> None:
            try:
                self.problem = source.find_problem()
            except Exception:
                log.exception("can't tell whether the page is ready")
                self.problem = "something went wrong; the log says more"
            finally:
                self.ended_at = clock.monotonic()
                self.ended.set()

        threading.Thread(target=run, name="readiness", daemon=True).start()


class Readiness:
    """One check for all who ask at about the same time. Thread-safe."""

    def __init__(self, source: Source, patience: float = PATIENCE, clock: MonotonicClock = time):
        """What the source is asked may hang: it is not asked again then."""
        self._source = source
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._check: _Check | None = None

    def problem(self) -> str | None:
        """Why the page isn't ready; None if it is. A check that hangs is waited for only while it is new."""
        with self._lock:
            now = self._clock.monotonic()
            check = self._check
            if check is None or (check.ended.is_set() and now - check.ended_at >= _FRESH_FOR):
                check = self._check = _Check(self._source, self._clock)
        if check.ended.wait(max(0.0, check.began + self._patience - now)):
            return check.problem
        return f"the store has not answered within {self._patience:g} s"
