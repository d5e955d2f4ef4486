"""Storms: a load, and faults at random moments. `.ci/run` plays each for seconds, `make storms` as
long as you like.

`TEST_STORM_SECONDS` makes them longer, and `TEST_SEED` repeats one (as far as processes can be
repeated).
"""

from __future__ import annotations

import os


def lasting(seconds: float) -> float:
    """The seconds that a storm lasts: so many by default."""
    return float(os.environ.get("TEST_STORM_SECONDS", seconds))
