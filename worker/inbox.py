"""Messages to a thread that owns some state."""

from __future__ import annotations

import queue
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Inbox:
    """What other threads ask of one thread. Any thread may put a message; the owning thread alone handles them."""

    def __init__(self, owner: str):
        """`owner`: who handles the messages, for the log."""
        self._owner = owner
        self._messages: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def put(self, message: Callable[[], None]) -> None:
        """Has the owner call this. Safe in signal handlers."""
        self._messages.put(message)

    def handle(self, seconds: float) -> None:
        """Handles all messages; waits up to `seconds` for the first one. One that fails is logged: the thread must go
        on."""
        try:
            message = self._messages.get(timeout=seconds) if seconds > 0 else self._messages.get_nowait()
            while True:
                try:
                    message()
                except Exception:
                    log.exception(f"a message to {self._owner} failed unexpectedly")
                message = self._messages.get_nowait()
        except queue.Empty:
            pass
