"""Reloads the webhook definitions when their files change, and keeps the last good set when they are broken."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from config.wakeup import WakeUp
from config.webhooks import Definitions, DefinitionsError

Load = Callable[[Path], Definitions]
"""Raises DefinitionsError."""
Stamps = dict[Path, tuple[int, int, int]]
"""file → what changes with it."""


def stamps(sources: Iterable[Path]) -> Stamps:
    """What changes when a file is edited or replaced; of a folder, when a file of it comes or goes."""
    found: Stamps = {}
    for path in sources:
        try:
            status = os.stat(path)
            found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            found[path] = (0, 0, 0)
    return found


class DefinitionsWatcher:
    """Holds the definitions in force; `check` looks whether their files have changed.

    The files are those of the YAML and those that ``${file:…}`` names, so a rotated secret is noticed as well. Safe
    for threads, and for a fork at any time: the thread is the parent's, and a child that wants one starts its own.
    """

    def __init__(
        self,
        path: Path,
        load: Load,
        on_change: Callable[[Definitions], None],
        on_error: Callable[[DefinitionsError], None],
        current: Definitions,
        note: Callable[[str | None], None] = lambda error: None,
    ):
        """`load` reads the definitions and raises DefinitionsError; `current` are those in force until a change.

        `on_change` gets each good set, also the one that mends a broken one; `on_error` gets each new error. `note`
        writes down what is wrong with those in the files, None for nothing; it may raise, and is then called again at
        the next check.
        """
        self._path = path
        self._load = load
        self._on_change = on_change
        self._on_error = on_error
        self._current = current
        self._seen = stamps(current.sources)
        self._error: str | None = _text(current)
        self._note = note
        self._unnoted = False
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
        """The definitions in force."""
        return self._current

    @property
    def error(self) -> str | None:
        """What is wrong with those in the files, if they can't be used."""
        return self._error

    def force(self) -> None:
        """Makes the next `check` read the files even if they look unchanged, and the thread check now.

        For signal handlers too.
        """
        self._forced = True
        if (wakeup := self._wakeup) is not None:
            wakeup.ring()

    def check(self) -> bool:
        """Reloads if a file has changed; True if definitions have been read in which nothing is wrong.

        Where files are broken and their last good webhooks stay in force, what is wrong is said, and what else has
        changed is in force.

        Raises what `note` raises; the definitions are in force all the same.
        """
        with self._lock:
            before = stamps(self._seen)
            if before == self._seen and not self._forced:
                self._write_note()
                return False
            self._forced = False
            try:
                definitions = self._load(self._path)
            except DefinitionsError as error:
                self._remember(error.sources, before)
                if str(error) != self._error:
                    self._error = str(error)
                    self._on_error(error)
                    self._unnoted = True
                self._write_note()
                return False
            self._remember(definitions.sources, before)
            wrong, said, old = _text(definitions), self._error, self._current
            self._error, self._current = wrong, definitions
            if wrong is None or (definitions.webhooks, definitions.unavailable) != (old.webhooks, old.unavailable):
                self._on_change(definitions)
            if wrong is not None and wrong != said:
                self._on_error(DefinitionsError(definitions.errors))
            self._unnoted = True
            self._write_note()
            return wrong is None

    def announce(self) -> None:
        """Has it noted what is wrong, or that nothing is. Raises what `note` raises; the next check tries again."""
        with self._lock:
            self._unnoted = True
            self._write_note()

    def _write_note(self) -> None:
        if self._unnoted:
            self._note(self._error)
            self._unnoted = False

    def _remember(self, sources: Iterable[Path], before: Stamps) -> None:
        """A file that changed while the definitions were read counts as not seen, so that it is read again."""
        self._seen = {path: before.get(path, stamp) for path, stamp in stamps({self._path, *sources}).items()}

    def start(self, interval: float = 2.0) -> None:
        """Checks every `interval` seconds on a thread of its own, until `stop`."""
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
            except Exception as error:  # of a callback: watching must go on
                structlog.get_logger().warning("can't note the state of the definitions", error=str(error))
            wakeup.wait(interval)
            wakeup.clear()
        wakeup.close()


def _text(definitions: Definitions) -> str | None:
    """What is wrong with files of which the last good webhooks are in force."""
    return "\n".join(map(str, definitions.errors)) or None
