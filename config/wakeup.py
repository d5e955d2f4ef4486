"""Wakes a thread, even from a signal handler."""

from __future__ import annotations

import os
import select
from contextlib import suppress


class Descriptor:
    """A file descriptor that is closed when nothing refers to it any more.

    Each user keeps a reference while using it. So it needs no lock, which a signal handler must not take, and its
    number isn't reused for another file before the last use is over.
    """

    def __init__(self, number: int):
        """Takes ownership of the open descriptor `number`."""
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class WakeUp:
    """Rung once, it stays rung until it is cleared.

    It may be rung from a signal handler, unlike a `threading.Event`: the handler may have interrupted the very thread
    that holds the event's lock.
    """

    def __init__(self) -> None:
        ends = os.pipe()
        for end in ends:
            os.set_blocking(end, False)
        self._ends: tuple[Descriptor, Descriptor] | None = (Descriptor(ends[0]), Descriptor(ends[1]))

    def fileno(self) -> int:
        """The descriptor that is readable while it is rung; -1 once closed. For the thread that closes it."""
        return self._ends[0].number if self._ends is not None else -1

    def ring(self) -> None:
        """Wakes the waiting thread, now or at its next wait."""
        if (ends := self._ends) is not None:
            with suppress(OSError):  # it is full, so it is already rung
                os.write(ends[1].number, b"\0")

    def wait(self, seconds: float) -> bool:
        """Waits until it is rung, or the time is over; returns whether it was rung."""
        if (ends := self._ends) is None:
            return False
        poll = select.poll()
        poll.register(ends[0].number, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def clear(self) -> None:
        """Clears it: from now on it is not rung."""
        if (ends := self._ends) is not None:
            with suppress(OSError):
                while os.read(ends[0].number, 4096):
                    pass

    def close(self) -> None:
        """Closes its descriptors; ringing it then has no effect."""
        self._ends = None
