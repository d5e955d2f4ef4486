"""How long to wait before the next try: longer each time, so that failing items don't keep others waiting."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST = 0.25
"""Seconds until the second try, for failures that may be over in a moment."""
LONGEST = 15.0
"""Longest pause in seconds where everything waits for the same thing: Conductor, or the store."""
RARELY = 300.0
"""Longest pause in seconds for an item that fails alone."""
_JITTER = 0.25
JITTER = random.Random()  # noqa: S311 - nothing secret
"""Of our own: nobody who seeds Python's shared one, or restores its state, gets draws of ours between theirs."""


def wait_before(
    attempts: int, longest: float = LONGEST, first: float = FIRST, draw: Callable[[], float] = JITTER.random
) -> float:
    """Seconds until the next try after this many tries: doubles each time, from `first` up to `longest`.

    `draw` returns the jitter, between 0 and 1, so that items that failed together aren't retried together.
    """
    doublings = min(max(attempts - 1, 0), 30)  # by then the limit has long been reached
    return min(longest, first * 2.0**doublings) + _JITTER * draw()
