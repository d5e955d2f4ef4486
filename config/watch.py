"""Reloads the webhook definitions when their files change, and keeps the last good set when they are broken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from config.webhooks import Definitions, DefinitionsError

Fingerprint = tuple[tuple[str, int, int, int], ...]


class DefinitionsWatcher:
    """Holds the definitions in force; `check` looks whether their files have changed.

    The files are those of the YAML and those that ``${file:…}`` names, so a rotated secret is noticed as well.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[Path], Definitions],
        on_change: Callable[[Definitions], None],
        on_error: Callable[[DefinitionsError], None],
        current: Definitions,
    ):
        """`load` reads the definitions and raises DefinitionsError; `current` are those in force until a change."""
        self._path = path
        self._load = load
        self._on_change = on_change
        self._on_error = on_error
        self._current = current
        self._seen = _fingerprint(path, current)
        self._forced = False
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    @property
    def current(self) -> Definitions:
        """The definitions in force."""
        return self._current

    def force(self) -> None:
        """Makes the next `check` read the files even if they look unchanged; safe in a signal handler."""
        self._forced = True

    def check(self) -> bool:
        """Reloads if a file has changed; True if other definitions are in force now."""
        with self._lock:
            seen = _fingerprint(self._path, self._current)
            if seen == self._seen and not self._forced:
                return False
            self._forced = False
            self._seen = seen
            try:
                definitions = self._load(self._path)
            except DefinitionsError as error:
                self._on_error(error)
                return False
            self._current = definitions
            self._seen = _fingerprint(self._path, definitions)
            self._on_change(definitions)
            return True

    def start(self, interval: float = 2.0) -> None:
        """Checks every `interval` seconds on a thread of its own, until `stop`."""

        def run() -> None:
            while not self._stopped.wait(interval):
                self.check()

        threading.Thread(target=run, name="definitions", daemon=True).start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()


def _fingerprint(path: Path, definitions: Definitions) -> Fingerprint:
    files = {path, *definitions.sources}
    if path.is_dir():
        files |= set(path.glob("*.yaml"))
    return tuple(_state(file) for file in sorted(files))


def _state(file: Path) -> tuple[str, int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (str(file), 0, 0, 0)
    return (str(file), status.st_mtime_ns, status.st_size, status.st_ino)
