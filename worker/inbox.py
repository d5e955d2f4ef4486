"""Messages to a thread that owns some state."""

from __future__ import annotations

import queue
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Inbox:
    """What other threads ask of one thread. Any thread may put a message; the owning thread alone handles them."""

    def __init__(self, owner: str, most: int = 0, concerns_all: Callable[[Exception], bool] = lambda _: False):
        """`owner`: who handles the messages, for the log. `most`: how many there may be at a time; 0 for no bound.
        `concerns_all`: whether an error isn't about one message; none is by default."""
        self._owner = owner
        self._concerns_all = concerns_all
        self._messages: queue.SimpleQueue[Callable[[], None]] | queue.Queue[Callable[[], None]]
        self._messages = queue.Queue(most) if most else queue.SimpleQueue()

    def put(self, message: Callable[[], None], seconds: float | None = None) -> bool:
        """Has the owner call this; False if there was no room within that time. Without a bound, it is safe in signal
        handlers."""
        try:
            self._messages.put(message, timeout=seconds)
        except queue.Full:
            return False
        return True

    def handle(self, seconds: float) -> None:
        """Handles the messages that are there; waits up to `seconds` for the first one.

        Those that come meanwhile are for the next time: others may put them faster than they are handled, and the
        thread has more to do. One that fails is logged, as the thread must go on; errors that concern all are raised.
        """
        try:
            message = self._messages.get(timeout=seconds) if seconds > 0 else self._messages.get_nowait()
            for _ in range(self._messages.qsize()):
                self._handle(message)
                message = self._messages.get_nowait()
            self._handle(message)
        except queue.Empty:
            pass

    def _handle(self, message: Callable[[], None]) -> None:
        try:
            message()
        except Exception as error:
            if self._concerns_all(error):
                raise
            log.exception(f"a message to {self._owner} failed unexpectedly")
