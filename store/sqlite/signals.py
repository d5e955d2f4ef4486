"""How one process learns about another's commits at once: a FIFO for the leader, polling for the others."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

from config.wakeup import Descriptor, WakeUp
from store.errors import StoreUnavailable
from store.protocols import News, Signals
from store.sqlite.connections import Connections

_LOOK_EVERY = 0.025
"""Seconds between checks whether another connection has written, each of which takes microseconds."""
_LOOK_FOR_ANSWERS_EVERY = 0.01
"""The same while senders wait."""


class SqliteSignals(Signals):
    """Signals on SQLite. `events` arrive through a FIFO beside the database; other listeners poll."""

    def __init__(self, connections: Connections):
        self._connections = connections
        self.path = f"{connections.path}-wake"
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._descriptor: Descriptor | None = None

    def tell(self, news: News) -> None:
        if news != "events":
            return
        descriptor = self._descriptor  # other threads may meanwhile find that nobody listens
        try:
            if descriptor is None:
                descriptor = self._descriptor = Descriptor(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
            os.write(descriptor.number, b"\0")
        except BlockingIOError:
            pass  # it hasn't read the last ones yet, so it will wake up
        except OSError:
            if self._descriptor is descriptor:
                self._descriptor = None

    def listener(self, news: News) -> Listener:
        # A FIFO has one reader: a byte that one worker reads wakes no other.
        look_every = _LOOK_FOR_ANSWERS_EVERY if news == "answers" else _LOOK_EVERY
        return Listener(self._connections, self.open_fifo() if news == "events" else None, look_every)

    def open_fifo(self) -> int | None:
        """A file descriptor that becomes readable on a wake-up; None where the file system has no FIFOs."""
        try:
            with suppress(FileExistsError):
                os.mkfifo(self.path, 0o660)
            # Opened for writing too, so that reads don't return end of file whenever the last relay exits.
            return os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        except OSError:
            return None


class Listener:
    """Implements `store.protocols.Listener`: on the FIFO or, without one, by checking whether anything was written."""

    def __init__(self, connections: Connections, fifo: int | None, look_every: float = _LOOK_EVERY):
        self._connections = connections
        self._fifo = fifo
        self._look_every = look_every
        self._woken = WakeUp()
        self._seen: int | None = None

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        if self._fifo is not None:
            self._select(seconds)
            return
        while True:
            seen, self._seen = self._seen, self._change_counter()
            if (
                seen != self._seen
                or self._select(min(self._look_every, end - time.monotonic()))
                or time.monotonic() >= end
            ):
                return

    def wake(self) -> None:
        self._woken.ring()

    def close(self) -> None:
        self._woken.close()
        fifo, self._fifo = self._fifo, None
        if fifo is not None:
            os.close(fifo)

    def _select(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if self._fifo is not None:
            poll.register(self._fifo, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]
        if self._woken.fileno() in ready:
            self._woken.clear()
        if self._fifo in ready:
            with suppress(OSError):
                os.read(self._fifo, 65536)
        return bool(ready)

    def _change_counter(self) -> int | None:
        """A number that changes when another connection has written."""
        try:
            return int(self._connections.read("PRAGMA data_version")[0][0])
        except StoreUnavailable:
            return self._seen
