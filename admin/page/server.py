"""The admin page's server: waitress, with an end for all that takes a place and asks for nothing."""

from __future__ import annotations

import time
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from config.open_files import allow_open_files

_THREADS = 8
"""Requests that are answered at a time. One that hasn't come whole holds no thread."""
_CONNECTIONS = 2000
_OTHER_FILES = 200
"""Open files that are kept for all but connections: the store's, and those of long answers."""
_SILENT = 30
"""Seconds within which a request must have come whole, and after which an answer that nobody reads is given up."""
_GRACE = 10.0
"""Seconds within which answers are finished when the process is to stop."""
_HEAD = 32 * 1024


class _Channel(HTTPChannel):
    """A connection."""

    requests: list[Any]
    requests_lock: Any

    def __init__(self, *arguments: Any, **more: Any):
        self.since = time.time()
        """When it was opened, the last answer was made, or the request began that is coming."""
        self._is_last = False
        super().__init__(*arguments, **more)

    def readable(self) -> bool:
        return bool(self.server.accepting and super().readable())

    def received(self, data: bytes) -> bool:
        if self.request is None and not self.requests:
            self.since = time.time()
        done: bool = super().received(data)
        with self.requests_lock:
            # Whoever sends a request before he has the last one's answer has to send it again: if he read no answer,
            # a thread would wait for him.
            for request in self.requests[1:]:
                request.close()
                self._is_last = True
            del self.requests[1:]
        return done

    def service(self) -> None:
        super().service()
        self.since = time.time()
        if self._is_last:
            self.close_when_flushed = True
            self.server.pull_trigger()


class _Server(TcpWSGIServer):
    """Where connections come in; those of all addresses are in one map."""

    channel_class = _Channel

    def maintenance(self, now: float) -> None:
        """Nothing: `PageServer` sees to it, for the connections of all addresses."""


class PageServer:
    """Serves an application until it is told to stop."""

    def __init__(self, application: Any, host: str, port: int, largest_body: int):
        """Listens at once. Raises OSError, ValueError if that can't be done."""
        files = allow_open_files()
        adjustments = Adjustments(
            host=host,
            port=port,
            connection_limit=min(_CONNECTIONS, max(files - _OTHER_FILES, files // 2)),
            max_request_header_size=_HEAD,
            max_request_body_size=largest_body,
            # One answer at a time is under way on a connection, and all of it is there.
            outbuf_high_watermark=2**62,
            # Whom to believe about addresses and hosts is BRIDGE_TRUSTED_PROXIES' to say: the page sees what came.
            clear_untrusted_proxy_headers=False,
            server_name=host,
            ident=None,
        )
        self._map: dict[int, Any] = {}
        self._stopping = False
        self._next_look = 0.0
        self._crowded = adjustments.connection_limit * 9 // 10
        self._dispatcher = ThreadedTaskDispatcher()
        self._dispatcher.set_thread_count(_THREADS)
        self._servers = [
            _Server(application, self._map, dispatcher=self._dispatcher, adj=adjustments, sockinfo=where)  # type: ignore[arg-type]
            for where in adjustments.listen
        ]

    def run(self) -> None:
        """Returns after `stop`, when what had come by then is answered, or `_GRACE` later."""
        while not self._stopping:
            self._turn()
        for server in self._servers:
            server.accepting = False
        until = time.monotonic() + _GRACE
        while time.monotonic() < until and any(map(_is_under_way, self._map.values())):
            self._turn()
        self._dispatcher.shutdown(timeout=1)

    def stop(self) -> None:
        """May be called by a signal's handler, or another thread."""
        self._stopping = True
        self._servers[0].pull_trigger()

    def _turn(self) -> None:
        wasyncore.loop(timeout=0.5, use_poll=True, map=self._map, count=1)
        now = time.time()
        if now >= self._next_look:
            self._next_look = now + _SILENT / 10
            self.end_overdue(now)
        if len(self._map) > self._crowded and (idle := self._idle()):
            min(idle, key=lambda one: one.since).handle_close()

    def end_overdue(self, now: float) -> None:
        """Ends the connections of those who are silent, send no whole request or read no answer."""
        for channel in self._idle():
            moved = channel.last_activity if channel.total_outbufs_len else channel.since
            if moved < now - _SILENT:
                channel.handle_close()  # at once: waitress waits until more can be sent, which may be never

    def _idle(self) -> list[_Channel]:
        """The connections without a request that has come whole and isn't answered."""
        return [one for one in self._map.values() if isinstance(one, _Channel) and not one.requests]


def _is_under_way(one: Any) -> bool:
    return isinstance(one, _Channel) and bool(one.requests or one.total_outbufs_len)
