"""Wakes a thread, from anywhere."""

from __future__ import annotations

import os
import select
from contextlib import suppress


class Descriptor:
    """A file descriptor that is closed when nobody holds it any more.

    Whoever uses it holds it meanwhile. So it needs no lock, which a signal handler must not take, and its number isn't
    another file's before the last use of it is over.
    """

    def __init__(self, number: int):
        """Takes the open descriptor `number` over."""
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class WakeUp:
    """Rung once, it stays rung until it is cleared.

    It may be rung from a signal handler. A `threading.Event` may not: the handler may have interrupted the very thread
    that holds the event's lock.
    """

    def __init__(self) -> None:
        ends = os.pipe()
        for end in ends:
            os.set_blocking(end, False)
        self._ends: tuple[Descriptor, Descriptor] | None = (Descriptor(ends[0]), Descriptor(ends[1]))

    def fileno(self) -> int:
        """The descriptor that is readable while it is rung; -1 when it is closed. For the thread that closes it."""
        return self._ends[0].number if self._ends is not None else -1

    def ring(self) -> None:
        """Wakes who waits, now or later."""
        if (ends := self._ends) is not None:
            with suppress(OSError):  # it is full, so it is rung
                os.write(ends[1].number, b"\0")

    def wait(self, seconds: float) -> bool:
        """Until it is rung, or that time is over; whether it was rung."""
        if (ends := self._ends) is None:
            return False
        poll = select.poll()
        poll.register(ends[0].number, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def clear(self) -> None:
        """From now on it is not rung."""
        if (ends := self._ends) is not None:
            with suppress(OSError):
                while os.read(ends[0].number, 4096):
                    pass

    def close(self) -> None:
        """Gives its descriptors back; ringing it has no effect any more."""
        self._ends = None
