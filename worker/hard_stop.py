"""Ends a process that doesn't end by itself: a call to Conductor or the store may hang for longer than stopping may
take."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

import structlog

from config.process import WakeUp

SECONDS = 9.0
"""Seconds from the signal. systemd and Kubernetes wait longer than this before they kill the worker."""
_LAST_WORDS = 0.5
"""Seconds for writing to the log: whatever reads it may hang, too."""

log = structlog.get_logger()


class HardStop:
    """Ends the process `SECONDS` after `begin`, whatever is still running."""

    def __init__(self) -> None:
        self._begun = WakeUp()

    def watch(self) -> None:
        """Waits for `begin` on a separate thread."""
        threading.Thread(target=self.run, name="hard stop", daemon=True).start()

    def begin(self) -> None:
        """Starts the countdown. Safe in signal handlers."""
        self._begun.ring()

    def run(self) -> None:
        """The thread."""
        while not self._begun.wait(3600):
            pass
        time.sleep(SECONDS)
        with suppress(RuntimeError):  # no thread could be started
            last_words = threading.Thread(target=_say_last_words, daemon=True)
            last_words.start()
            last_words.join(_LAST_WORDS)
        # As after a crash: calls in flight are looked up by the next worker, and the term runs out.
        os._exit(0)


def _say_last_words() -> None:
    log.error("the worker was killed because something in it hangs", seconds=SECONDS)
    _flush()


def leave_now(code: int) -> None:
    """Exits without waiting for threads, whose calls may hang."""
    _flush()
    os._exit(code)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
