"""How many examples Hypothesis makes of what takes seconds: `make examples` makes many times as
many."""

from __future__ import annotations

import os

import pytest

examples = pytest.mark.examples
"""The mark of a test whose number of examples is `at_most`."""


def at_most(number: int) -> int:
    """A third of so many examples, times `TEST_EXAMPLES`."""
    return int(number * float(os.environ.get("TEST_EXAMPLES", "1")) / 3)
