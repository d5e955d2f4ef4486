"""Wakes a thread, from anywhere."""

from __future__ import annotations

import os
import select
from contextlib import suppress


class Bell:
    """Rung once, it stays rung until it is cleared.

    It may be rung from a signal handler. A `threading.Event` may not: the handler may have interrupted the very thread
    that holds the event's lock.
    """

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)

    def ring(self) -> None:
        """Wakes who waits, now or later."""
        with suppress(OSError):  # it is full, so it is rung; or it is closed
            os.write(self._in, b"\0")

    def wait(self, seconds: float) -> bool:
        """Until it is rung, or that time is over; whether it was rung."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def clear(self) -> None:
        """From now on it is not rung."""
        with suppress(OSError):
            while os.read(self._out, 4096):
                pass

    def close(self) -> None:
        """Gives its descriptors back; ringing it has no effect any more."""
        out, in_ = self._out, self._in
        self._out = self._in = -1
        if out != -1:
            os.close(in_)
            os.close(out)
