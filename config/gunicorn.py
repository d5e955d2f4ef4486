"""gunicorn's settings for the relay: ``gunicorn -c config/gunicorn.py 'relay:create_app()'``."""

from __future__ import annotations

import atexit
import mmap
import os
import select
import shutil
import socket
import struct
import tempfile
import time
from collections import deque
from contextlib import suppress
from typing import Any

from gunicorn import glogging, util
from gunicorn.workers.gthread import TConn, ThreadWorker

_LONGEST_REQUEST = 30.0
"""Seconds that a request may take to come: a sender that trickles its bytes must not hold a thread for ever."""
_LONGEST_WHEN_BUSY = 2.0
"""The same while others wait for a thread."""


_STAY = 0.002
"""Seconds that a thread waits for the next request on the connection that it has just answered."""
_YIELD = 0.0005
"""Seconds that a worker leaves a new connection to one that has fewer."""
_SLOTS = 64
_LOAD = struct.Struct("<II")  # a worker's process id, and how many connections it has
_loads = mmap.mmap(-1, _SLOTS * _LOAD.size)
"""How loaded each worker is, shared by all of them."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, with three changes that were measured to matter (docs/performance.md).

    It cuts off clients that take for ever. A thread that has answered stays with its connection for a moment: under
    load the next request comes at once, and needs no way through the poller and another thread. And a worker with more
    connections than another leaves a new one to that: else one process gets most of them, and one core does the work.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._busy: dict[TConn, float] = {}
        self._waiting_for_thread: deque[TConn] = deque()
        self.slot = self.age % _SLOTS * _LOAD.size

    def enqueue_req(self, conn: TConn) -> None:
        self._waiting_for_thread.append(conn)
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        self._waiting_for_thread.popleft()
        try:
            while True:
                self._busy[conn] = time.monotonic()
                keep = super().handle(conn)
                if keep is not True or not self.alive or self._waiting_for_thread or not _readable(conn.sock):
                    return keep
        finally:
            self._busy.pop(conn, None)

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


def _readable(connection: socket.socket) -> bool:
    """Whether something comes on the connection in a moment."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(_STAY * 1000))


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
