"""What tests, demo and benchmarks share: Conductor servers, the bridge's processes, and a separate
client."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0
"""Seconds to wait for anything that must happen. Only a failure takes this long: on a busy machine
anything may be slow."""


def eventually(condition: Callable[[], object], every: float = 0.005) -> bool:
    """Waits until it is so, which it says. Raises an AssertionError if it never is."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(every)
    return True
