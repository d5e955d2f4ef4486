"""A lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class ProcessLock:
    """An exclusive lock on a file, which the kernel frees however the process ends.

    A process that gets it knows that the former holder is dead, and needn't wait for its term to run out. Failing to
    get it proves nothing: the holder may hang.
    """

    def __init__(self, path: Path):
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Whether this process has the lock now."""
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Releases the lock."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None
