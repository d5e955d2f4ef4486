"""gunicorn's settings for the relay: ``gunicorn -c config/gunicorn.py 'relay:create_app()'``."""

from __future__ import annotations

import atexit
import mmap
import os
import re
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from gunicorn import glogging, util
from gunicorn.http import wsgi
from gunicorn.http.errors import NoMoreData
from gunicorn.workers.gthread import _DEFER, TConn, ThreadWorker

_ANSWERERS = 4
"""Threads that answer requests which have come whole; more than one only while it is stuck."""

_LONGEST_REQUEST = 30.0
"""Seconds that a request may take to come: a sender that trickles its bytes must not hold a thread for ever."""
_LONGEST_WHEN_BUSY = 2.0
"""The same while others wait for a thread."""


_YIELD = 0.0005
"""Seconds that a worker leaves a new connection to one that has fewer."""
_STUCK = 0.02
"""Seconds after which requests don't wait for those before them any longer."""
_PEEK = 64 * 1024
"""Bytes up to which a request is looked at before it is read."""
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_SLOTS = 64
_LOAD = struct.Struct("<II")  # a worker's process id, and how many connections it has
_loads = mmap.mmap(-1, _SLOTS * _LOAD.size)
"""How loaded each worker is, shared by all of them."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, with three changes that were measured to matter (docs/performance.md).

    Requests that have come whole are answered together by one thread: the application is called for each of them, and
    then they are committed as one, which spares threads that fight for the interpreter. The others, whose senders may
    be slow, get a thread each, as gunicorn does it, and are cut off if they take for ever. And a worker with more
    connections than another leaves a new one to that: else one process gets most of them, and one core does the work.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._busy: dict[TConn, float] = {}
        self._waiting_for_thread: deque[TConn] = deque()
        self._whole: list[TConn] = []
        """Connections with a whole request."""
        self._lock = threading.Lock()
        self._answering = 0
        self._began = 0.0
        self._answerers = ThreadPoolExecutor(_ANSWERERS, thread_name_prefix="answers")
        self.slot = self.age % _SLOTS * _LOAD.size

    # --- which way a request goes ---

    def enqueue_req(self, conn: TConn) -> None:
        """gunicorn calls it for a connection that is new, or has something to read."""
        request = None if conn.cfg.is_ssl or conn.is_http2 else _peek(conn)
        if request is None or (request and not _is_whole(request)):
            self._waiting_for_thread.append(conn)
            super().enqueue_req(conn)
        elif request:
            with self._lock:
                self._whole.append(conn)
        else:
            self.finish_request(conn, _Outcome(_DEFER))

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """gunicorn's main loop calls it."""
        super().wait_for_and_dispatch_events(_STUCK if self._whole else timeout)
        with self._lock:
            if self._whole and (not self._answering or time.monotonic() > self._began + _STUCK):
                self._answering += 1
                self._began = time.monotonic()
                self._answerers.submit(self._answer_whole)

    # --- requests that have come whole ---

    def _answer_whole(self) -> None:
        while True:
            with self._lock:
                conns, self._whole = self._whole, []
                if not conns:
                    self._answering -= 1
                    return
                self._began = time.monotonic()
            begun = [self._begin(conn) for conn in conns]
            outcomes = []
            for conn, exchange in zip(conns, begun, strict=True):
                if exchange is not None and getattr(exchange.answer, "may_wait", False):
                    self._give_thread(conn, exchange)
                else:
                    outcomes.append((conn, exchange is not None and self._end(conn, exchange)))
            self.method_queue.defer(self._finish, outcomes)

    def _give_thread(self, conn: TConn, exchange: _Exchange) -> None:
        future = self.tpool.submit(self._end, conn, exchange)
        future.add_done_callback(lambda future: self.method_queue.defer(self.finish_request, conn, future))

    def _finish(self, outcomes: list[tuple[TConn, bool]]) -> None:
        for conn, keep in outcomes:
            self.finish_request(conn, _Outcome(keep))

    def _begin(self, conn: TConn) -> _Exchange | None:
        """Reads the request and calls the application, as gunicorn's `handle` and `handle_request` do."""
        request = None
        try:
            conn.init()
            conn.sock.setblocking(False)
            request = next(conn.parser)
            response, environ = wsgi.create(request, conn.sock, conn.client, conn.server, self.cfg)
            environ["wsgi.multithread"] = True
            if not self.alive or len(self.keepalived_conns) >= self.max_keepalived:
                response.force_close()
            response.sock = _Buffer()
            return _Exchange(request, response, self.wsgi(environ, response.start_response))
        except (NoMoreData, StopIteration, OSError) as error:
            self.log.debug("a connection ended: %s", error)
        except Exception as error:
            self.handle_error(request, conn.sock, conn.client, error)
        return None

    def _end(self, conn: TConn, exchange: _Exchange) -> bool:
        """Writes the answer; whether the connection can be used again."""
        try:
            try:
                for piece in exchange.answer:
                    exchange.response.write(piece)
                exchange.response.close()
            finally:
                if hasattr(exchange.answer, "close"):
                    exchange.answer.close()
            conn.sock.sendall(exchange.response.sock.content)
            return not exchange.response.should_close() and bool(conn.parser.finish_body())
        except (NoMoreData, StopIteration, OSError) as error:
            self.log.debug("a connection ended: %s", error)
        except Exception as error:
            self.handle_error(exchange.request, conn.sock, conn.client, error)
        return False

    # --- slow senders ---

    def handle(self, conn: TConn) -> Any:
        self._waiting_for_thread.popleft()
        self._busy[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            self._busy.pop(conn, None)

    def notify(self) -> None:
        """gunicorn calls it about once a second."""
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
        self._say_load()
        if self.nr_conns > self._least_load():
            time.sleep(_YIELD)
        super().accept(listener)
        self._say_load()

    def _say_load(self) -> None:
        _LOAD.pack_into(_loads, self.slot, os.getpid(), self.nr_conns)

    def _least_load(self) -> int:
        own: int = self.nr_conns
        return min((load for pid, load in _LOAD.iter_unpack(_loads[:]) if pid and pid != os.getpid()), default=own)


class _Exchange(NamedTuple):
    """A request whose answer is being made."""

    request: Any
    response: Any
    answer: Any
    """As WSGI iterates over it."""


class _Outcome:
    """What became of a request, as gunicorn asks a future for it."""

    def __init__(self, outcome: Any):
        self._outcome = outcome

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self._outcome


class _Buffer:
    """Stands in for a socket, so that an answer's head and body leave as one packet."""

    def __init__(self) -> None:
        self.content = b""

    def sendall(self, content: bytes) -> None:
        self.content += content


def _peek(conn: TConn) -> bytes | None:
    """What there is to read on the connection, without taking it; empty if there is nothing yet, None at its end."""
    if conn.parser is not None and conn.parser.unreader.buf.getvalue():
        return None
    try:
        return conn.sock.recv(_PEEK, socket.MSG_PEEK | socket.MSG_DONTWAIT) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None


def _is_whole(request: bytes) -> bool:
    """Whether a request with a body is there from its beginning to its end."""
    head = request.find(b"\r\n\r\n")
    if head < 0:
        return False
    length = _LENGTH.search(request, 0, head + 2)
    return length is not None and len(request) >= head + 4 + int(length[1])


def _write_error(connection: socket.socket, status: int, reason: str, message: str) -> None:
    """gunicorn's answer to what is no HTTP, in the form that all errors have."""
    if status >= 500 and status != 501:  # 501 is its word for an encoding that it can't read
        line, more = "503 Service Unavailable", "Retry-After: 10\r\n"
        body = b'{"error": "unavailable", "message": "send it again"}'
    else:
        line, more = "400 Bad Request", ""
        body = b'{"error": "bad_request", "message": "this is no valid HTTP request"}'
    head = f"HTTP/1.1 {line}\r\nConnection: close\r\n{more}Content-Type: application/json\r\n"
    util.write_nonblock(connection, head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))


util.write_error = _write_error


class Logger(glogging.Logger):  # type: ignore[misc]
    """gunicorn's lines in the form of all the relay's lines."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


bind = f"0.0.0.0:{os.environ.get('PORT') or 8000}"
worker_class = Worker
logger_class = Logger
workers = 2
# Made when they are needed; many, so that slow senders don't keep the others waiting.
threads = 32
# Definitions that can't be used end the start, and not only each worker's; workers share the program's memory.
preload_app = True

# A worker's main thread answers to the parent even while its threads are busy: this is for one that hangs whole.
timeout = 60
graceful_timeout = 20
keepalive = 15
worker_connections = 1000
backlog = 1024
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 16380

# Whom to believe about addresses and hosts is BRIDGE_TRUSTED_PROXIES' to say.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
accesslog = None
control_socket_disable = True

# In memory where that can be had: a full disk would otherwise kill every worker that touches its part of the metrics,
# which is a mapped file, and the answer 503 with it.
_memory = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK | os.X_OK)), None)  # noqa: S108
worker_tmp_dir = _memory

if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    # All workers' metrics meet in this folder; it must be named before prometheus_client is imported.
    _folder = tempfile.mkdtemp(prefix="bridge-relay-metrics-", dir=_memory)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = _folder
    _owner = os.getpid()

    def _remove_folder() -> None:
        if os.getpid() == _owner:
            shutil.rmtree(_folder, ignore_errors=True)

    atexit.register(_remove_folder)


def _background(application: Any) -> Any:
    """`relay.background.Background`, which can't be imported from here."""
    extensions = getattr(application, "extensions", {})
    return extensions.get("relay")


def when_ready(server: Any) -> None:
    """New workers begin with the parent's definitions, so it keeps them up to date."""
    if background := _background(server.app.callable):
        background.watch_for_others()


def on_reload(server: Any) -> None:
    """SIGHUP: gunicorn replaces its workers."""
    if background := _background(server.app.callable):
        background.reload_now()


def post_worker_init(worker: Any) -> None:
    """Watches the definitions from the start, not from the first request."""
    if background := _background(worker.wsgi):
        background.start()


def worker_exit(server: Any, worker: Any) -> None:
    """Writes what has been counted and not been written yet."""
    if background := _background(getattr(worker, "wsgi", None)):
        background.stop()


def child_exit(server: Any, worker: Any) -> None:
    """A dead worker's gauges and connections don't count."""
    _LOAD.pack_into(_loads, worker.slot, 0, 0)
    from prometheus_client.multiprocess import mark_process_dead

    with suppress(OSError):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
