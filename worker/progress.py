"""Whether what is to be decided and called gets done, from what the store shows at intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

OVERDUE = 60.0
"""Seconds that an event may be undecided, or a target due, before it counts as overdue."""
STANDSTILL = 60.0
"""Seconds in which nothing at all of what is overdue was decided or called, after which the worker counts as stuck."""


class Progress:
    """Sees what is overdue of each webhook, and whether any of it moves. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """`clock` counts seconds."""
        self._clock = clock
        self._overdue: frozenset[str] = frozenset()
        self._since = clock()
        self._decided_at = float("-inf")

    def decides(self) -> None:
        """This worker decides now: what stands still is its affair."""
        self._decided_at = self._clock()

    def see(self, overdue: Collection[str]) -> None:
        """What is overdue, as `store.protocols.Queries.overdue` has it: whatever isn't there any more has moved."""
        seen = frozenset(overdue)
        if not seen or self._overdue - seen:
            self._since = self._clock()
        self._overdue = seen

    @property
    def stuck_for(self) -> float:
        """Seconds for which nothing has moved although something is overdue; 0 if that is no standstill.

        And 0 for a worker that doesn't decide: the one that does says so. One whose terms end as they begin, by an
        error that comes again and again, does decide.
        """
        now = self._clock()
        seconds = now - self._since
        is_stuck = self._overdue and seconds >= STANDSTILL and now - self._decided_at < STANDSTILL
        return seconds if is_stuck else 0.0
