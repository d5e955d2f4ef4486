"""How long whatever is done for somebody may take: carried along, so that each wait on the way knows what is left."""

from __future__ import annotations

import time
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_end = float("inf")


def end_waits(seconds: float) -> None:
    """Nothing in this process waits for the store longer than so many seconds from now: it ends. For signal handlers
    too."""
    global _end
    _end = min(_end, time.monotonic() + seconds)


def passed(until: float) -> bool:
    """Whether that time of the monotonic clock has come, or the process's last wait has ended."""
    return time.monotonic() >= min(until, _end)


class within:
    """Everything that this thread (or greenlet) does inside has so long, all together."""

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float):
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _deadline.set(time.monotonic() + self._seconds)

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)


def deadline(default: float) -> float:
    """Until when the store may be waited for, by the monotonic clock: the one carried along, or `default` seconds from
    now where none is, or where that is sooner."""
    carried = _deadline.get()
    latest = min(time.monotonic() + default, _end)
    return latest if carried is None else min(carried, latest)
