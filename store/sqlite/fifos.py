"""FIFOs: a byte that is written into one wakes the process that reads it, and no other."""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path

_MODE = 0o660
_UNNAMED = "."
"""What the name of a FIFO begins with until it is open."""


class Fifo:
    """A FIFO that this process reads."""

    def __init__(self, number: int, temporary: Path | None = None):
        """Takes ownership of the open descriptor. `temporary`: the file, if it is this process's own."""
        self.number = number
        self._temporary = temporary

    def clear(self) -> None:
        """Reads what was written."""
        with suppress(OSError):
            os.read(self.number, 65536)

    def close(self) -> None:
        """Closes it, and deletes its file if that is this process's own."""
        if self._temporary is not None:
            _delete(self._temporary)
        os.close(self.number)


def opened(path: Path) -> Fifo | None:
    """The FIFO at this path, created if need be; None where the file system has no FIFOs."""
    try:
        with suppress(FileExistsError):
            os.mkfifo(path, _MODE)
        return Fifo(_open(path))
    except OSError:
        return None


class OwnFifos:
    """A folder in which each process has its own FIFO, so that all are woken."""

    def __init__(self, folder: Path):
        self._folder = folder

    def opened(self) -> Fifo | None:
        """A new FIFO for this process; None where there can't be one."""
        path = self._folder / uuid.uuid4().hex
        unnamed = path.with_name(f"{_UNNAMED}{path.name}")
        number = None
        try:
            self._folder.mkdir(0o770, exist_ok=True)
            os.mkfifo(unnamed, _MODE)
            number = _open(unnamed)
            # Only now: a FIFO that no process reads would be deleted.
            unnamed.rename(path)
        except OSError:
            if number is not None:
                os.close(number)
            _delete(unnamed)
            return None
        return Fifo(number, path)

    def ring(self) -> None:
        """Wakes the process behind each FIFO, and deletes the FIFOs of processes that were killed."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return
        for name in names:
            if not name.startswith(_UNNAMED):
                _write(self._folder / name)


def _open(path: Path) -> int:
    # Opened for writing too, so that reads don't return end of file whenever the last writer exits.
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def _write(path: Path) -> None:
    try:
        number = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no process reads it
            _delete(path)
        return
    try:
        with suppress(OSError):  # it is full, so its reader will wake up
            os.write(number, b"\0")
    finally:
        os.close(number)


def _delete(path: Path) -> None:
    with suppress(OSError):  # it may be another user's
        path.unlink()
