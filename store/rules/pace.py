"""How many calls a webhook's pace allows now: pure arithmetic, so that all stores keep it in the same way.

Calls are spread evenly: each takes up one interval, and `next_at` is when the next one may be made. The store is
checked at intervals too, so a fast pace may catch up on the time since the last check, up to a twentieth of a second.
"""

from __future__ import annotations

_CATCH_UP = 50.0
"""Milliseconds of calls that may be caught up at once."""


def allowed(rate: float, next_at: float, now: float) -> int:
    """How many calls may be made now, at `rate` calls a second. Times are milliseconds."""
    begin = _begin(rate, next_at, now)
    return int((now - begin) * rate / 1000) + 1 if begin <= now else 0


def after(calls: int, rate: float, next_at: float, now: float) -> float:
    """When the next call may be made, after this many were made now."""
    return _begin(rate, next_at, now) + calls * 1000 / rate


def _begin(rate: float, next_at: float, now: float) -> float:
    """When counting starts: time that passed unused longer ago is lost."""
    return max(next_at, now - max(0.0, _CATCH_UP - 1000 / rate))
