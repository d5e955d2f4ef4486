"""How many examples Hypothesis makes of what takes seconds: a third, and all of them in `make test-long`."""

from __future__ import annotations

import os

import pytest

examples = pytest.mark.examples
"""The mark of a test whose number of examples is `at_most`: `make test-long` runs it again, with all of them."""


def at_most(number: int) -> int:
    """So many examples, or a third of them."""
    return number if os.environ.get("TEST_EXAMPLES") == "all" else number // 3
