"""The definitions in force: reloaded when their files change, keeping the last good ones of each
broken file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from config.process import WakeUp
from config.references import Stamps, stamp_of, stamps_of
from config.webhooks import Definitions, DefinitionsError

STILL_IN_FORCE = "the definitions have errors; the last good ones of each file are in force"
"""What is logged of a broken edit, and at a start with what an earlier process has kept."""


Load = Callable[[Path], Definitions]
"""Reads definitions. Raises DefinitionsError if nothing in the files can be used."""


class Listener:
    """How a process reacts to changes; this one does nothing."""

    def changed(self, definitions: Definitions) -> None:
        """These are now in force. A repaired file is a change, even if all webhooks are the same."""

    def broken(self, error: DefinitionsError) -> None:
        """The files have errors that they didn't have before; the last good webhooks stay in
        force."""

    def record(self, error: str | None) -> None:
        """Records the files' errors, None if there are none. If it raises, the next check calls it
        again."""


class DefinitionsSource:
    """Holds the definitions in force; `check` reads them again if their files have changed.

    The files are those of the YAML and those that ``${file:…}`` names, so a rotated secret is
    noticed as well. Thread-safe, and safe for a fork at any time: the thread is the parent's, and a
    child that wants one starts its own.
    """

    def __init__(
        self, path: Path, load: Load, current: Definitions, listener: Listener | None = None
    ):
        """`current` are the definitions in force until a change."""
        self.listener = listener or Listener()
        self._path = path
        self._load = load
        self._current = current
        self._seen: Stamps = current.sources
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
        """Makes the next `check` read the files even if they look unchanged, and makes the thread
        check now.

        Safe in signal handlers.
        """
        self._forced = True
        wakeup = self._wakeup
        if wakeup is not None:
            wakeup.ring()

    def check(self) -> bool:
        """Reads the files again if one has changed; True if they were read without errors.

        A broken file keeps its last good webhooks; changes in other files take effect.

        Raises what the listener raises. If that is `changed` or `broken`, the next check reads them
        again; if it is `record`, they are in force all the same.
        """
        with self._lock:
            if not self._forced and stamps_of(self._seen) == self._seen:
                self._record()
                return False
            self._forced = False
            try:
                good = self._read()
            except BaseException:  # what is in force may not be all of it
                self._forced = True
                raise
            self._unrecorded = True
            self._record()
            return good

    def _read(self) -> bool:
        """Puts in force what the files say now; returns whether it has no errors."""
        old = self._current
        try:
            new = self._load(self._path)
            sources = new.sources
        except DefinitionsError as error:
            new, sources = replace(old, errors=error.problems), error.sources
        # As they were before they were read: what changes meanwhile is read again.
        self._seen = {self._path: stamp_of(self._path), **sources}
        self._current = new
        if not new.errors or (new.webhooks, new.unavailable) != (old.webhooks, old.unavailable):
            self.listener.changed(new)
        if new.errors and new.errors != old.errors:
            self.listener.broken(DefinitionsError(new.errors))
        return not new.errors

    def announce(self) -> None:
        """Has the listener record the state, good or bad. Raises what the listener raises; the next
        check tries again."""
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
            self._thread = threading.Thread(
                target=self._run, args=(interval, wakeup), name="definitions", daemon=True
            )
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
                structlog.get_logger().warning(
                    "can't record the state of the definitions", error=str(error)
                )
            wakeup.wait(interval)
            wakeup.clear()
        wakeup.close()
