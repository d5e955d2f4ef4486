"""How one process learns about another's commits at once: a FIFO for the leader, polling for the
others."""

from __future__ import annotations

import os
from contextlib import suppress
from io import FileIO

from config.process import Descriptor
from store.errors import StoreUnavailable
from store.sql.database import Listener, Signals, Topic
from store.sqlite.connections import Connections

_LOOK_EVERY = 0.025
"""Seconds between checks for other connections' writes, each of which takes microseconds."""


class SqliteSignals(Signals):
    """Signals on SQLite. `events` arrive through a FIFO beside the database, which has one reader:
    the leader. Who listens to other topics polls."""

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
                descriptor = self._descriptor = Descriptor(
                    os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
                )
            os.write(descriptor.number, b"\0")
        except BlockingIOError:
            pass  # it hasn't read the last ones yet, so it will wake up
        except OSError:
            if self._descriptor is descriptor:
                self._descriptor = None

    def listener(self, topic: Topic) -> Listener:
        return SqliteListener(self._connections, self.path if topic == "events" else None)


class SqliteListener(Listener):
    """Listens to the FIFO or, without one, checks whether anything was written."""

    def __init__(self, connections: Connections, path: str | None):
        """`path` of the FIFO, which is created if need be."""
        super().__init__()
        self._connections = connections
        # After the wake-up: if the process has no descriptors left for that, this one would stay
        # open.
        self._heard = self._fifo = _opened(path, connections.mode) if path is not None else None
        if self._fifo is None:
            self._look_every = _LOOK_EVERY
        self._seen: int | None = None

    def close(self) -> None:
        super().close()
        if self._fifo is not None:
            self._fifo.close()

    def _hear(self) -> None:
        assert self._fifo is not None
        self._fifo.read(65536)

    def _has_changed(self) -> bool:
        """Whether another connection has written since the last check."""
        seen = self._seen
        if self._fifo is None:
            # It stays as it was if the store can't be read.
            with suppress(StoreUnavailable):
                self._seen = int(self._connections.read("PRAGMA data_version")[0][0])
        return self._seen != seen


def _opened(path: str, mode: int) -> FileIO | None:
    """The FIFO, open for reading; None where the file system has no FIFOs."""
    try:
        with suppress(FileExistsError):
            os.mkfifo(path, mode)
        # Opened for writing too, so that reads don't return end of file whenever the last writer
        # exits.
        return FileIO(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except OSError:
        return None
