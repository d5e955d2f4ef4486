"""The definitions in force: reloaded when their files change, keeping the last good ones of each broken file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from config.wakeup import WakeUp
from config.webhooks import Definitions, DefinitionsError

STILL_IN_FORCE = "the definitions have errors; the last good ones of each file are in force"
"""What is logged of a broken edit, and at a start with what an earlier process has kept."""
Stamps = dict[Path, tuple[int, int, int]]
"""file → a fingerprint of its state."""


_UNREAD = (-1, -1, -1)
"""The fingerprint of no file, not even of one that is missing."""
_TICK_NS = 10_000_000
"""A file's time may be this much earlier than the clock's when it was written."""


def stamps(sources: Iterable[Path]) -> Stamps:
    """A fingerprint that changes when a file is edited or replaced or, for a folder, when a file is added or
    removed."""
    found: Stamps = {}
    for path in sources:
        try:
            status = os.stat(path)
            found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            found[path] = (0, 0, 0)
    return found


class Loader(Protocol):
    """Reads definitions."""

    def load(self, path: Path) -> Definitions:
        """Raises DefinitionsError if nothing in the files can be used."""


class Listener:
    """How a process reacts to changes; this one does nothing."""

    def changed(self, definitions: Definitions) -> None:
        """These are now in force. A repaired file is a change, even if all webhooks are the same."""

    def broken(self, error: DefinitionsError) -> None:
        """The files have errors that they didn't have before; the last good webhooks stay in force."""

    def record(self, error: str | None) -> None:
        """Records the files' errors, None if there are none. If it raises, the next check calls it again."""


class DefinitionsSource:
    """Holds the definitions in force; `check` reads them again if their files have changed.

    The files are those of the YAML and those that ``${file:…}`` names, so a rotated secret is noticed as well.
    Thread-safe, and safe for a fork at any time: the thread is the parent's, and a child that wants one starts its own.
    """

    def __init__(self, path: Path, loader: Loader, current: Definitions, listener: Listener | None = None):
        """`current` are the definitions in force until a change."""
        self.listener = listener or Listener()
        self._path = path
        self._loader = loader
        self._current = current
        self._seen = stamps(current.sources)
        self._unrecorded = False
        self._forced = False
        self._reset()
        os.register_at_fork(
            before=lambda: self._lock.acquire(),
            after_in_parent=lambda: self._lock.release(),
            after_in_child=self._reset,
        )

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._wakeup: WakeUp | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    @property
    def current(self) -> Definitions:
        """The definitions in force. `errors` says what is wrong with the files."""
        return self._current

    @property
    def error(self) -> str | None:
        """What is wrong with the files, as text."""
        return "\n".join(map(str, self._current.errors)) or None

    def force(self) -> None:
        """Makes the next `check` read the files even if they look unchanged, and makes the thread check now.

        Safe in signal handlers.
        """
        self._forced = True
        if (wakeup := self._wakeup) is not None:
            wakeup.ring()

    def check(self) -> bool:
        """Reads the files again if one has changed; True if they were read without errors.

        A broken file keeps its last good webhooks; changes in other files take effect.

        Raises what the listener raises; the definitions are in force all the same.
        """
        with self._lock:
            before = stamps(self._seen)
            if before == self._seen and not self._forced:
                self._record()
                return False
            self._forced = False
            old, began = self._current, time.time_ns() - _TICK_NS
            try:
                new = self._loader.load(self._path)
                sources = new.sources
            except DefinitionsError as error:
                new, sources = replace(old, errors=error.problems), error.sources
            # A file that changed while the definitions were read counts as unread, so that it is read again; one that
            # is new, too, if it may still have been written then.
            self._seen = {
                path: before.get(path, stamp if stamp[0] < began else _UNREAD)
                for path, stamp in stamps({self._path, *sources}).items()
            }
            self._current = new
            if not new.errors or (new.webhooks, new.unavailable) != (old.webhooks, old.unavailable):
                self.listener.changed(new)
            if new.errors and new.errors != old.errors:
                self.listener.broken(DefinitionsError(new.errors))
            self._unrecorded = True
            self._record()
            return not new.errors

    def announce(self) -> None:
        """Has the listener record the state, good or bad. Raises what the listener raises; the next check tries
        again."""
        with self._lock:
            self._unrecorded = True
            self._record()

    def _record(self) -> None:
        if self._unrecorded:
            self.listener.record(self.error)
            self._unrecorded = False

    def start(self, interval: float = 2.0) -> None:
        """Checks every `interval` seconds on a separate thread, until `stop`."""
        if self._thread is None:
            self._stopped = False
            self._wakeup = wakeup = WakeUp()
            self._thread = threading.Thread(target=self._run, args=(interval, wakeup), name="definitions", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped = True
        thread, self._thread = self._thread, None
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None:
            wakeup.ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=10)

    def _run(self, interval: float, wakeup: WakeUp) -> None:
        while not self._stopped:
            try:
                self.check()
            except Exception as error:  # raised by the listener: watching must go on
                structlog.get_logger().warning("can't record the state of the definitions", error=str(error))
            wakeup.wait(interval)
            wakeup.clear()
        wakeup.close()
