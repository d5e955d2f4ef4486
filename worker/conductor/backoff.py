"""How long to wait before the next try: ever longer, so that what fails takes no others' turn."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST = 0.25
"""Seconds until the second try of what may be over in a moment."""
LONGEST = 15.0
"""Seconds between two tries, where all wait for the same: Conductor, or the store."""
RARELY = 300.0
"""Seconds between two tries at most of what fails alone."""
_JITTER = 0.25


def wait_before(
    attempts: int, longest: float = LONGEST, first: float = FIRST, draw: Callable[[], float] = random.random
) -> float:
    """Seconds until the next try after that many: they double each time, from the `first` up to the `longest`.

    `draw` gives the jitter, between 0 and 1, so that those that failed together don't come back together.
    """
    doublings = min(max(attempts - 1, 0), 30)  # beyond that the limit has long been reached
    return min(longest, first * 2.0**doublings) + _JITTER * draw()
