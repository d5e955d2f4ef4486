"""Whether events are kept for long enough."""

from __future__ import annotations

from config.durations import format_duration
from worker.discovery.probe import CheckResult

_SHORTEST = 86_400.0
"""Seconds: within a day, most platforms have repeated what they repeat."""


def on_retention(seconds: float) -> list[CheckResult]:
    """What is risky about BRIDGE_RETENTION."""
    if seconds >= _SHORTEST:
        return []
    what = f"what a platform delivers again more than {format_duration(seconds)} later is an event again"
    return [CheckResult("warning", what, "write 1d or more: platforms repeat deliveries for hours or days")]
