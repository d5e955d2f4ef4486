"""The admin page's server: waitress, which also closes connections that are idle for too long."""

from __future__ import annotations

import time
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from admin.page.feed import STREAMS, Feed
from config.open_files import allow_open_files

_THREADS = 8
"""Requests that are answered at a time. An incomplete request holds no thread."""
_PROBES = ("/healthz", "/readyz")
_PROBE_THREADS = 2
"""Of their own, as requests that wait for a store that hangs may hold all the others."""
_STREAM = "/deliveries/stream"
_STREAM_THREADS = STREAMS + 4
"""Of their own, as each stream holds one for its whole life; the last ones refuse those that are too many."""
_CONNECTIONS = 2000
_OTHER_FILES = 200
"""Open files that are reserved for everything but connections: the store, and long answers."""
_SILENT = 30
"""Seconds within which a request must be complete, and after which an answer that nobody reads is dropped."""
_GRACE = 10.0
"""Seconds for finishing answers when the process stops."""
_HEAD = 32 * 1024


class _Channel(HTTPChannel):
    """A connection."""

    requests: list[Any]
    requests_lock: Any

    def __init__(self, *arguments: Any, **more: Any):
        self.since = time.monotonic()
        """When it was opened, when its last answer was made, or when its current request began."""
        self.moved = self.since
        """When something was last received or sent."""
        self._is_last = False
        self.is_streaming = False
        """Whether its answer is a stream, which goes on for as long as anyone reads it."""
        super().__init__(*arguments, **more)

    @property
    def last_activity(self) -> float:
        """waitress's own, by the wall clock, which may be set."""
        return self._last_activity

    @last_activity.setter
    def last_activity(self, at: float) -> None:
        self._last_activity = at
        self.moved = time.monotonic()

    def readable(self) -> bool:
        if self.is_streaming:  # so that a client that has gone is noticed before anything is sent to it
            return not (self.will_close or self.total_outbufs_len)
        return bool(self.server.accepting and super().readable())

    def received(self, data: bytes) -> bool:
        if self.request is None and not self.requests:
            self.since = time.monotonic()
        done: bool = super().received(data)
        with self.requests_lock:
            # A client that sends a request before it has the previous answer has to send it again: if it never read the
            # answers, a thread would wait for it.
            for request in self.requests[1:]:
                request.close()
                self._is_last = True
            del self.requests[1:]
        return done

    def service(self) -> None:
        super().service()
        self.is_streaming = False
        self.since = time.monotonic()
        if self._is_last:
            self.close_when_flushed = True
            self.server.pull_trigger()


class _Server(TcpWSGIServer):
    """Accepts connections; those of all addresses are in one map."""

    channel_class = _Channel

    def __init__(self, *arguments: Any, probes: ThreadedTaskDispatcher, streams: ThreadedTaskDispatcher, **more: Any):
        self._probes = probes
        self._streams = streams
        super().__init__(*arguments, **more)

    def add_task(self, task: Any) -> None:
        """Has the channel's first request answered."""
        path = getattr(task.requests[0], "path", None)  # one that can't be read has none
        task.is_streaming = path == _STREAM
        dispatcher = self._streams if task.is_streaming else self.task_dispatcher
        (self._probes if path in _PROBES else dispatcher).add_task(task)

    def maintenance(self, now: float) -> None:
        """Does nothing: `PageServer` does it for the connections of all addresses."""


class PageServer:
    """Serves an application until it is stopped."""

    def __init__(self, application: Any, host: str, port: int, largest_body: int, feed: Feed | None = None):
        """Listens right away. When it stops, so do the `feed`'s streams. Raises OSError or ValueError."""
        self._feed = feed
        files = allow_open_files()
        adjustments = Adjustments(
            host=host,
            port=port,
            connection_limit=min(_CONNECTIONS, max(files - _OTHER_FILES, files // 2)),
            max_request_header_size=_HEAD,
            max_request_body_size=largest_body,
            # Connections are closed below instead: waitress goes by the wall clock.
            channel_timeout=2**62,
            # A connection has one answer in flight at a time, and all of it is buffered.
            outbuf_high_watermark=2**62,
            # BRIDGE_TRUSTED_PROXIES decides whose headers are believed, so the page needs to see them all.
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
        self._probes = ThreadedTaskDispatcher()
        self._probes.set_thread_count(_PROBE_THREADS)
        self._streams = ThreadedTaskDispatcher()
        self._streams.set_thread_count(_STREAM_THREADS)
        self._servers = [
            _Server(
                application,
                self._map,
                dispatcher=self._dispatcher,
                adj=adjustments,
                sockinfo=where,
                probes=self._probes,
                streams=self._streams,
            )
            for where in adjustments.listen
        ]

    def run(self) -> None:
        """Returns after `stop`, once the requests of that moment are answered, at the latest after `_GRACE`."""
        while not self._stopping:
            self._turn()
        for server in self._servers:
            server.accepting = False
        if self._feed is not None:
            self._feed.stop()
        until = time.monotonic() + _GRACE
        while time.monotonic() < until and any(map(_is_under_way, self._map.values())):
            self._turn()
        for dispatcher in (self._dispatcher, self._probes, self._streams):
            dispatcher.shutdown(timeout=1)

    def stop(self) -> None:
        """Safe to call from a signal handler or another thread."""
        self._stopping = True
        self._servers[0].pull_trigger()

    def _turn(self) -> None:
        wasyncore.loop(timeout=0.5, use_poll=True, map=self._map, count=1)
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _SILENT / 10
            self.end_overdue(now)
        if len(self._map) > self._crowded and (idle := self._idle()):
            min(idle, key=lambda one: one.since).handle_close()

    def end_overdue(self, now: float) -> None:
        """Closes connections that are silent, send no complete request, or read no answer.

        `now` is by the monotonic clock.
        """
        for channel in self._idle():
            moved = channel.moved if channel.total_outbufs_len else channel.since
            if moved < now - _SILENT:
                channel.handle_close()  # right away: waitress waits until more can be sent, which may be never

    def _idle(self) -> list[_Channel]:
        """The connections without a complete request that is still unanswered."""
        return [one for one in self._map.values() if isinstance(one, _Channel) and not one.requests]


def _is_under_way(one: Any) -> bool:
    return isinstance(one, _Channel) and bool(one.requests or one.total_outbufs_len)
