"""How one process learns about another's commits at once: FIFOs for leader and relays, polling for the others."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from config.wakeup import Descriptor, WakeUp
from store.errors import StoreUnavailable
from store.protocols import Signals, Topic
from store.sqlite.connections import Connections
from store.sqlite.fifos import Fifo, OwnFifos, opened

_LOOK_EVERY = 0.025
"""Seconds between checks for other connections' writes, each of which takes microseconds."""
_LOOK_BESIDE_FIFO_EVERY = 0.1
"""The same for a relay that is woken through its FIFO, in case the worker couldn't write to it."""


class SqliteSignals(Signals):
    """Signals on SQLite. `events` arrive through a FIFO beside the database, `answers` through one for each process
    that listens; other listeners poll."""

    def __init__(self, connections: Connections):
        self._connections = connections
        self.path = f"{connections.path}-wake"
        self._relays = OwnFifos(Path(f"{connections.path}-relays"))
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._descriptor: Descriptor | None = None

    def notify(self, topic: Topic) -> None:
        if topic == "answers":
            self._relays.ring()
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
        # A FIFO has one reader: a byte that one worker reads wakes no other.
        if topic == "events":
            return Listener(self._connections, partial(opened, Path(self.path)))
        if topic == "answers":
            return Listener(self._connections, self._relays.opened, _LOOK_BESIDE_FIFO_EVERY)
        return Listener(self._connections, _none)


def _none() -> None:
    """For listeners without a FIFO."""


class Listener:
    """Implements `store.protocols.Listener`: on the FIFO or, without one, by checking whether anything was written."""

    def __init__(
        self, connections: Connections, open_fifo: Callable[[], Fifo | None], look_every: float = float("inf")
    ):
        """`look_every`: seconds between checks beside the FIFO."""
        self._connections = connections
        self._woken = WakeUp()
        # After the wake-up: if the process has no descriptors left for that, this one would stay open.
        self._fifo = open_fifo()
        self._look_every = _LOOK_EVERY if self._fifo is None else look_every
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
        fifo, self._fifo = self._fifo, None
        if fifo is not None:
            fifo.close()

    def _select(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if self._fifo is not None:
            poll.register(self._fifo.number, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, seconds) * 1000)]
        if self._woken.fileno() in ready:
            self._woken.clear()
        if self._fifo is not None and self._fifo.number in ready:
            self._fifo.clear()
        return bool(ready)

    def _has_changed(self) -> bool:
        """Whether another connection has written since the last check."""
        seen = self._seen
        # It stays as it was if the store can't be read.
        with suppress(StoreUnavailable):
            self._seen = int(self._connections.read("PRAGMA data_version")[0][0])
        return self._seen != seen
