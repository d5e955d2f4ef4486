"""How requests reach the application: gunicorn's threaded worker, made to answer together what came together."""

from __future__ import annotations

import mmap
import os
import re
import select
import socket
import struct
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

from gunicorn.http import wsgi
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import _DEFER, TConn, ThreadWorker

_TOGETHER = 64
"""Requests at most that are committed together."""
_STAY = 0.002
"""Seconds that the next request is awaited on a connection that has just been answered."""
_STUCK = 0.02
"""Seconds after which requests wait for those before them no longer."""
_ANSWERERS = 4
"""Threads that answer requests that have come whole; more than one only while it is stuck."""
_PEEK = 64 * 1024
"""Bytes of a request up to which it can have come whole."""
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)

_LONGEST_REQUEST = 30.0
"""Seconds that a request may take to come: a sender that trickles its bytes must not hold a thread for ever."""
_LONGEST_WHEN_BUSY = 2.0
"""The same while others wait for a thread."""

_NAPS = 10
"""So often at most a worker leaves a new connection to one that has fewer."""
_NAP = 0.0004
_SLOTS = 64
_LOAD = struct.Struct("<II")  # a worker's process id, and how many connections it has
_loads = mmap.mmap(-1, _SLOTS * _LOAD.size)
"""How loaded each worker is, shared by all of them."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, with three changes that were measured to matter (docs/performance.md).

    - Requests that have come whole are answered together by one thread: it calls the application for each of them
      before it asks for any answer, so that they are committed as one; a thread for each would fight for the
      interpreter. The next request on such a connection is awaited for a moment before gunicorn's poller has it.
    - Other requests, whose senders may be slow, get a thread each, as gunicorn does it, and are cut off if they take
      for ever.
    - A worker with more connections than another leaves a new one to that: else one process gets most of them, and
      one core does the work.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._busy: dict[TConn, float] = {}
        self._waiting_for_thread: deque[TConn] = deque()
        self._whole: list[TConn] = []
        """Connections with a whole request."""
        self._lock = threading.Lock()
        self._answering = 0
        """Threads that answer."""
        self._began = 0.0
        """When one of them last looked for requests."""
        self._awaiting = False
        """Whether one of them waits for the next request of those that it has answered."""
        self._slot = self.age % _SLOTS * _LOAD.size

    def init_process(self) -> None:
        """Begins the work, after the fork."""
        self._answerers = ThreadPoolExecutor(_ANSWERERS, thread_name_prefix="answers")
        self._nudge_out, self._nudge_in = os.pipe()
        os.set_blocking(self._nudge_out, False)
        os.set_blocking(self._nudge_in, False)
        super().init_process()

    # --- which way a request goes: gunicorn's main loop calls these ---

    def enqueue_req(self, conn: TConn) -> None:
        """A connection is new, or has something to read."""
        missing = _missing(conn)
        if missing is None:
            self._thread_for(conn)
        elif missing:
            _expect(conn, missing)
            self.finish_request(conn, _Outcome(_DEFER))  # to the poller
        else:
            with self._lock:
                self._whole.append(conn)

    def murder_pending(self) -> None:
        """Ends connections on which nothing has come for long; a request that has begun is given a thread.

        A worker that stops waits for neither.
        """
        while self.pending_conns and (self.pending_conns[0].timeout <= time.monotonic() or not self.alive):
            conn = self.pending_conns.popleft()
            with suppress(OSError, KeyError, ValueError):
                self.poller.unregister(conn.sock)
            if _expected(conn) > 1:
                self._thread_for(conn)
            else:
                self.nr_conns -= 1
                conn.close()

    def _thread_for(self, conn: TConn) -> None:
        _expect(conn, 1)
        self._waiting_for_thread.append(conn)
        super().enqueue_req(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Once around the loop."""
        super().wait_for_and_dispatch_events(_STUCK if self._whole else timeout)
        with self._lock:
            if not self._whole:
                return
            if self._awaiting:
                with suppress(BlockingIOError):  # it has been nudged often enough
                    os.write(self._nudge_in, b"\0")
            elif not self._answering or (self._answering < _ANSWERERS and time.monotonic() > self._began + _STUCK):
                self._answering += 1
                self._began = time.monotonic()
                self._answerers.submit(self._answer_whole)

    # --- requests that have come whole ---

    def _answer_whole(self) -> None:
        try:
            self._answer_until_none_is_left()
        except Exception:  # its connections are closed with it: their senders try again
            self.log.exception("answering failed unexpectedly")
            with self._lock:
                self._answering -= 1

    def _answer_until_none_is_left(self) -> None:
        answered = _Answered()
        while conns := self._next(answered, wait=True):
            begun: list[tuple[TConn, _Exchange | None]] = []
            while conns:
                begun += [(conn, self._begin(conn)) for conn in conns]
                conns = self._next(answered, wait=False) if len(begun) < _TOGETHER else []
            over = []
            for conn, exchange in begun:
                if exchange is not None and getattr(exchange.answer, "may_wait", False):
                    self._give_thread(conn, exchange)
                elif exchange is not None and self._end(conn, exchange):
                    answered.add(conn)
                else:
                    over.append(conn)
            self._give_back(over, False)

    def _next(self, answered: _Answered, wait: bool) -> list[TConn]:
        """Connections with a whole request; if there is none, those that come in a moment. Empty if none does."""
        while True:
            with self._lock:
                self._began = time.monotonic()
                whole, self._whole = self._whole, []
                awaiting = wait and not whole
                if awaiting and not answered:
                    self._answering -= 1
                    return []
                self._awaiting = awaiting
            ready, left = answered.readable(self._nudge_out if awaiting else None)
            self._awaiting = False
            for conn in ready:
                missing = _missing(conn)
                if missing is None:
                    self._thread_for(conn)
                elif missing:
                    _expect(conn, missing)
                    answered.add(conn)
                else:
                    whole.append(conn)
            # A request that has begun is only deferred: gunicorn may close a connection that is kept for the next one.
            begun = [conn for conn in left if _expected(conn) > 1]
            self._give_back([conn for conn in left if conn not in begun], True)
            self._give_back(begun, _DEFER)
            if whole or not wait:
                return whole

    def _give_back(self, conns: list[TConn], outcome: Any) -> None:
        """To gunicorn's main loop, which waits for what comes on those that aren't to be closed."""
        if conns:
            self.method_queue.defer(self._finish, conns, _Outcome(outcome))

    def _finish(self, conns: list[TConn], outcome: _Outcome) -> None:
        for conn in conns:
            self.finish_request(conn, outcome)

    def _give_thread(self, conn: TConn, exchange: _Exchange) -> None:
        future = self.tpool.submit(self._end, conn, exchange)
        future.add_done_callback(lambda future: self.method_queue.defer(self.finish_request, conn, future))

    def _begin(self, conn: TConn) -> _Exchange | None:
        """Reads the request and calls the application, as gunicorn's `handle` and `handle_request` begin."""
        request = None
        try:
            conn.init()
            conn.sock.setblocking(False)  # all of it is there
            _expect(conn, 1)
            request = next(conn.parser)
            response, environ = wsgi.create(request, conn.sock, conn.client, conn.server, self.cfg)
            environ["wsgi.multithread"] = True
            self.nr += 1
            if self.nr >= self.max_requests:
                self.alive = False
            if not self.alive or not self.cfg.keepalive or len(self.keepalived_conns) >= self.max_keepalived:
                response.force_close()
            response.sock = _Packet()
            began = time.monotonic()
            return _Exchange(request, response, environ, self.wsgi(environ, response.start_response), began)
        except Exception as error:
            self._failed(conn, request, error)
        return None

    def _end(self, conn: TConn, exchange: _Exchange) -> bool:
        """Sends the answer, as they end; whether the connection can be used again."""
        request, response, environ, answer, began = exchange
        try:
            try:
                for piece in answer:
                    response.write(piece)
                response.close()
            finally:
                if hasattr(answer, "close"):
                    answer.close()
            conn.sock.sendall(response.sock.content)
            self.log.access(response, request, environ, timedelta(seconds=time.monotonic() - began))
            return not response.should_close() and bool(conn.parser.finish_body())
        except Exception as error:
            self._failed(conn, request, error)
        return False

    def _failed(self, conn: TConn, request: Any, error: Exception) -> None:
        if isinstance(error, NoMoreData | StopIteration | OSError):
            self.log.debug("a connection ended: %s", error)
        else:
            self.handle_error(request, conn.sock, conn.client, error)

    # --- requests that have a thread of their own ---

    def handle(self, conn: TConn) -> Any:
        """Such a thread's work."""
        self._waiting_for_thread.popleft()
        self._busy[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            self._busy.pop(conn, None)

    def notify(self) -> None:
        """gunicorn calls it at least once a second."""
        super().notify()
        self._say_load()
        longest = _LONGEST_WHEN_BUSY if self._waiting_for_thread else _LONGEST_REQUEST
        latest = time.monotonic() - longest
        for conn, since in list(self._busy.items()):
            if since < latest:
                with suppress(OSError):
                    # Whoever still reads from it sees its end; an answer can still be sent.
                    conn.sock.shutdown(socket.SHUT_RD)

    # --- which process takes a connection ---

    def accept(self, listener: Any) -> None:
        """Somebody connects."""
        self._say_load()
        for _ in range(_NAPS):
            if self.nr_conns <= self._least_load():
                break
            time.sleep(_NAP)
            if not select.select([listener], [], [], 0)[0]:
                return  # another one has taken it
        super().accept(listener)
        self._say_load()

    def gone(self) -> None:
        """The worker has ended: its connections don't count."""
        _LOAD.pack_into(_loads, self._slot, 0, 0)

    def _say_load(self) -> None:
        _LOAD.pack_into(_loads, self._slot, os.getpid(), self.nr_conns)

    def _least_load(self) -> int:
        own: int = self.nr_conns
        return min((load for pid, load in _LOAD.iter_unpack(_loads[:]) if pid and pid != os.getpid()), default=own)


class _Answered:
    """Connections that have just been answered: the next request often comes at once."""

    def __init__(self) -> None:
        self._conns: dict[int, tuple[TConn, float]] = {}
        """File descriptor → connection, and until when its next request is awaited; in that order."""
        self._poll = select.poll()

    def __bool__(self) -> bool:
        return bool(self._conns)

    def add(self, conn: TConn) -> None:
        descriptor = conn.sock.fileno()
        self._conns[descriptor] = conn, time.monotonic() + _STAY
        self._poll.register(descriptor, select.POLLIN)

    def readable(self, nudge: int | None) -> tuple[list[TConn], list[TConn]]:
        """Those with something to read, and those whose time is over; with `nudge` waits for either, or for that."""
        if not self._conns:
            return [], []
        if nudge is not None:
            self._poll.register(nudge, select.POLLIN)
        found = [descriptor for descriptor, _ in self._poll.poll(0 if nudge is None else _STAY * 1000)]
        if nudge is not None:
            self._poll.unregister(nudge)
            if nudge in found:
                found.remove(nudge)
                with suppress(BlockingIOError):
                    os.read(nudge, 4096)
        ready = [self._take(descriptor) for descriptor in found]
        now = time.monotonic()
        over = [descriptor for descriptor, (_, until) in self._conns.items() if until <= now]
        return ready, [self._take(descriptor) for descriptor in over]

    def _take(self, descriptor: int) -> TConn:
        self._poll.unregister(descriptor)
        return self._conns.pop(descriptor)[0]


class _Exchange(NamedTuple):
    """A request whose answer is being made."""

    request: Any
    response: Any
    environ: dict[str, Any]
    answer: Any
    """As WSGI iterates over it."""
    began: float


class _Outcome:
    """What became of a request, as gunicorn asks a future for it."""

    def __init__(self, outcome: Any):
        self._outcome = outcome

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self._outcome


class _Packet:
    """Stands in for a socket, so that an answer's head and body leave as one."""

    def __init__(self) -> None:
        self.content = b""

    def sendall(self, content: bytes) -> None:
        self.content += content


def _missing(conn: TConn) -> int | None:
    """How many bytes must have come before it is worth looking at the connection again.

    None is missing, 0, of a request that is there to its end; None means that only a thread can read it.
    """
    if conn.cfg.is_ssl or conn.is_http2 or (conn.parser is not None and conn.parser.unreader.buf.getvalue()):
        return None
    try:
        request = conn.sock.recv(_PEEK, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 1
    except OSError:
        return None
    head = request.find(b"\r\n\r\n")
    length = _LENGTH.search(request, 0, head + 2) if head >= 0 else None
    if length is None:
        return None
    whole = head + 4 + int(length[1])
    if len(request) >= whole:
        return 0
    # Less than was expected: its sender has ended.
    return whole if whole <= _PEEK and len(request) >= _expected(conn) else None


def _expected(conn: TConn) -> int:
    """Bytes from which on the connection counts as readable."""
    return getattr(conn, "expected", 1)


def _expect(conn: TConn, length: int) -> None:
    """The kernel holds back what comes until there is so much of it, or its end."""
    if length != _expected(conn):
        with suppress(OSError):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, length)
        conn.expected = length
