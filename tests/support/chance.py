"""What is random in a run of the tests draws from one seed, which the run prints, and which
`TEST_SEED` sets.

That is the order of the tests, Hypothesis' examples, `random`, the storms, and the order of sets in
the processes that pytest-xdist and tests start. Ids have no seed: they must only differ.
"""

from __future__ import annotations

import os
import time

SEED = int(os.environ.setdefault("TEST_SEED", str(int(time.time()))))
os.environ.setdefault("PYTHONHASHSEED", str(SEED))


class TooSlow(AssertionError):
    """What a test timed took too long. With the mark `measured`, the test is run again."""


def in_time(is_so: bool, why: str = "") -> None:
    """Raises TooSlow unless it is."""
    if not is_so:
        raise TooSlow(why)


HOW_TO_REPEAT = f"Random order and examples: TEST_SEED={SEED} before the same command repeats them"
