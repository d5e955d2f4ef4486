"""How one process learns about another's commits at once: a FIFO for the leader, polling for the others."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

from config.process import Descriptor, WakeUp
from store.errors import StoreUnavailable
from store.sql.database import Signals, Topic
from store.sqlite.connections import Connections

_LOOK_EVERY = 0.025
"""Seconds between checks for other connections' writes, each of which takes microseconds."""


class SqliteSignals(Signals):
    """Signals on SQLite. `events` arrive through a FIFO beside the database, which has one reader: the leader. Who
    listens to other topics polls."""

    def __init__(self, connections: Connections):
        self._connections = connections
        self.path = f"{connections.path}-wake"
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._descriptor: Descriptor | None = None

    def notify(self, topic: Topic) -> None:
        if topic != "events":
            return
        descriptor = self._descriptor  # other threads may reset it when no process listens
        try:
            if descriptor is None:
                descriptor = self._descriptor = Descriptor(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
            os.write(descriptor.number, b"\0")
        except BlockingIOError:
            pass  # it hasn't read the last ones yet, so it will wake up
        except OSError:
            if self._descriptor is descriptor:
                self._descriptor = None

    def listener(self, topic: Topic) -> Listener:
        return Listener(self._connections, self.path if topic == "events" else None)


class Listener:
    """A listener on the FIFO or, without one, by checking whether anything was written."""

    def __init__(self, connections: Connections, path: str | None):
        """`path` of the FIFO, which is created if need be."""
        self._connections = connections
        self._woken = WakeUp()
        # After the wake-up: if the process has no descriptors left for that, this one would stay open.
        self._fifo = _opened(path) if path is not None else None
        self._look_every = _LOOK_EVERY if self._fifo is None else float("inf")
        self._seen: int | None = None

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        if self._fifo is None and self._has_changed():
            return True
        while not self._select(min(self._look_every, end - time.monotonic())):
            if time.monotonic() >= end:
                return False
            if self._has_changed():
                return True
        return True

    def wake(self) -> None:
        self._woken.ring()

    def close(self) -> None:
        self._woken.close()
        self._fifo = None

    def _select(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if self._fifo is not None:
            poll.register(self._fifo.number, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]
        if self._woken.fileno() in ready:
            self._woken.clear()
        if self._fifo is not None and self._fifo.number in ready:
            with suppress(OSError):
                os.read(self._fifo.number, 65536)
        return bool(ready)

    def _has_changed(self) -> bool:
        """Whether another connection has written since the last check."""
        seen = self._seen
        # It stays as it was if the store can't be read.
        with suppress(StoreUnavailable):
            self._seen = int(self._connections.read("PRAGMA data_version")[0][0])
        return self._seen != seen


def _opened(path: str) -> Descriptor | None:
    """The FIFO, open for reading; None where the file system has no FIFOs."""
    try:
        with suppress(FileExistsError):
            os.mkfifo(path, 0o660)
        # Opened for writing too, so that reads don't return end of file whenever the last writer exits.
        return Descriptor(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except OSError:
        return None
