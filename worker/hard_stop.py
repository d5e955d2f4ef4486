"""Ends a process that doesn't end by itself: a call to Conductor or the store may hang for longer than stopping may
take."""

from __future__ import annotations

import os
import sys
import threading
import time

import structlog

from config.wakeup import WakeUp

SECONDS = 9.0
"""Seconds from the signal. systemd and Kubernetes wait longer than this before they kill the worker."""

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
        # As after a crash: calls in flight are looked up by the next worker, and the term runs out.
        log.error("the worker was killed because something in it hangs", seconds=SECONDS)
        leave_now(0)


def leave_now(code: int) -> None:
    """Exits without waiting for threads, whose calls may hang."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
