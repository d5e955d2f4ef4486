"""Clients that put a bridge under load, each on a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tools.servers import PATIENCE
from tools.servers.client import Answer, RequestFailed


class Clients:
    """Threads that play until they are stopped. What goes wrong in one of them is raised where they
    are joined."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        """Asks them to end."""
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, play: Callable[..., None], *given: object) -> None:
        """Starts one more, which calls `play` once."""

        def run() -> None:
            try:
                play(*given)
            except BaseException as error:
                self._errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, seconds: float) -> None:
        """Returns when all have ended, for each of which it waits that long. Raises what went wrong
        in them."""
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a client hangs"
        if self._errors:
            raise self._errors[0]


def until_accepted(send: Callable[[], Answer], again: Callable[[], None] = lambda: None) -> str:
    """Sends as platforms do, until it is answered 200; the event's id. `again` is called before
    each repetition."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer = send()
            if answer.status == 200:
                return str(answer.json["eventId"])
            assert answer.status in (502, 503), f"{answer.status}: {answer.text}"
        except (RequestFailed, ValueError):
            pass
        assert time.monotonic() < deadline, "the relay accepts nothing"
        again()
        time.sleep(0.1)
