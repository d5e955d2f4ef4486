"""Ends a process that doesn't end: a call to Conductor or to the store may hang for longer than a stop may take."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

import structlog

from config.wakeup import WakeUp

SECONDS = 9.0
"""From the signal on: whoever stops a worker, systemd or Kubernetes, kills it later than that."""

log = structlog.get_logger()


class LastMoment:
    """From `begin` on the process has so many seconds."""

    def __init__(
        self,
        seconds: float = SECONDS,
        leave: Callable[[int], object] = os._exit,
        wait: Callable[[float], object] = time.sleep,
    ):
        """`leave` ends the process at once, with that exit code."""
        self._seconds = seconds
        self._leave = leave
        self._wait = wait
        self._begun = WakeUp()

    def watch(self) -> None:
        """Waits for `begin` on a thread of its own."""
        threading.Thread(target=self.run, name="last moment", daemon=True).start()

    def begin(self) -> None:
        """The process is to end. For signal handlers too."""
        self._begun.ring()

    def run(self) -> None:
        """The thread."""
        while not self._begun.wait(3600):
            pass
        self._wait(self._seconds)
        # As after a crash: what was on its way is looked up, and leadership runs out.
        log.error("the worker is ended, as something in it hangs", seconds=self._seconds)
        leave_now(0, self._leave)


def leave_now(code: int, leave: Callable[[int], object] = os._exit) -> None:
    """Ends the process without waiting for its threads, whose calls may hang."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    leave(code)
