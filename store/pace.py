"""How many calls a webhook's pace allows now: pure arithmetic, so that every store keeps it alike.

Calls are spread evenly: each takes up one interval, and `next_at` is when the next one may be made. Looks for calls
come at intervals too, so a fast pace may make good what went by since the last look, up to a twentieth of a second.
"""

from __future__ import annotations

_CATCH_UP = 50.0
"""Milliseconds whose calls may be made good at once."""


def allowed(rate: float, next_at: float, now: float) -> int:
    """How many calls may be made now, at `rate` calls a second. Times are milliseconds."""
    begin = _begin(rate, next_at, now)
    return int((now - begin) * rate / 1000) + 1 if begin <= now else 0


def after(calls: int, rate: float, next_at: float, now: float) -> float:
    """When the next call may be made, after that many were begun now."""
    return _begin(rate, next_at, now) + calls * 1000 / rate


def _begin(rate: float, next_at: float, now: float) -> float:
    """From when on calls are counted: what went by unused long ago is lost."""
    return max(next_at, now - max(0.0, _CATCH_UP - 1000 / rate))
