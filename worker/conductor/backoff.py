"""How long to wait before the next try."""

from __future__ import annotations

import random
from collections.abc import Callable

_FIRST = 0.25
_LONGEST = 15.0
_JITTER = 0.25


def wait_before(attempts: int, draw: Callable[[], float] = random.random, longest: float = _LONGEST) -> float:
    """Seconds until the next try after that many: they double each time, up to the `longest`.

    `draw` gives the jitter, between 0 and 1, so that those that failed together don't come back together.
    """
    doublings = min(max(attempts - 1, 0), 30)  # beyond that the limit has long been reached
    return min(longest, _FIRST * 2.0**doublings) + _JITTER * draw()
