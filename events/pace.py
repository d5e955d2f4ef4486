"""How many calls a webhook's pace allows now: pure arithmetic, so that every store keeps it alike.

Calls are spread evenly: each takes up one interval, and `next_at` is when the next one may be made. Looks for calls
come at intervals too, so a fast pace may make good what went by since the last look, up to a twentieth of a second.
"""

from __future__ import annotations

_CATCH_UP = 50.0
"""Milliseconds whose calls may be made good at once."""


def allowed(rate: float, next_at: float, now: float) -> int:
    """How many calls may be made now, at `rate` calls a second. Times are milliseconds."""
    interval = 1000 / rate
    begin = max(next_at, now - _CATCH_UP)
    return int((now - begin) / interval) + 1 if begin <= now else 0


def after(calls: int, rate: float, next_at: float, now: float) -> float:
    """When the next call may be made, after that many were begun now."""
    return max(next_at, now - _CATCH_UP) + calls * 1000 / rate
