"""gunicorn's settings for the relay: ``gunicorn -c relay/gunicorn_settings.py 'relay:create_app()'``."""

# ruff: noqa: E402
from __future__ import annotations

from gevent import monkey

# Before anything else is imported that waits: gunicorn imports the application in the parent, so its workers' own patch
# would come too late for what has a lock or a socket by then.
monkey.patch_all()

import os
import sys

if getattr(sys.flags, "safe_path", False) and sys.path[0] in (os.getcwd(), os.environ.get("PWD")):
    # Python was told not to look there (`webhook-bridge relay`), but gunicorn puts the working folder first.
    sys.path.append(sys.path.pop(0))

import atexit
import gc
import shutil
import socket
import ssl
import tempfile
from contextlib import suppress
from typing import Any

import gevent
from gunicorn import glogging
from gunicorn.http.errors import ParseException
from gunicorn.workers.ggevent import GeventWorker

from config.open_files import allow_open_files
from relay.connection import Connection, Places
from relay.memory import MEMORY, Overloaded

_LONGEST_GOODBYE = 2.0
"""Seconds for which a connection that ends in an error is still read."""
_LARGEST_REST_OF_NONSENSE = 256 * 1024
"""Bytes that are read of it after its answer."""
_OBJECTS_A_COLLECTION = 10_000


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker; what is no HTTP gets its answer in the form that all errors have.

    When nearly all connections that it may have are taken, the one that has been waiting for the longest gives way.
    """

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self.places = Places(self.worker_connections)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serves a connection. One on which nothing was ever sent is let go at once when the worker stops."""
        connection = Connection(client, MEMORY)
        self.places.take(connection)
        try:
            # Of TLS something may have been read by now, and be waiting in the socket.
            if connection.is_tls or connection.await_first(self.cfg.keepalive):
                super().handle(listener, connection, addr)
            else:
                connection.close()
        finally:
            connection.request_is_over()
            self.places.leave(connection)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answers a request whose head has come. Raises StopIteration where no other one may follow."""
        sock.head_is_read()
        last = None
        try:
            try:
                super().handle_request(listener_name, req, sock, addr)
            except StopIteration as error:
                last = error
            sock.finish(req)
        finally:
            sock.request_is_over()
            self.places.take(sock)
        if last is not None:
            raise last

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answers, where an answer can be sent still; gunicorn closes the connection."""
        if isinstance(exc, ssl.SSLError):
            return  # whoever began no TLS, or broke it off, can't read an answer
        if isinstance(exc, ParseException):
            status, more = "400 Bad Request", ""
            body = b'{"error": "bad_request", "message": "this is no valid HTTP request"}'
            self.log.debug("no valid request from %s: %s", addr, exc)
        else:
            status, more = "503 Service Unavailable", "Retry-After: 10\r\n"
            body = b'{"error": "unavailable", "message": "send it again"}'
            if not isinstance(exc, Overloaded):
                self.log.error("a request failed", exc_info=exc)
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\n{more}Content-Type: application/json\r\n"
        with suppress(OSError), gevent.Timeout(_LONGEST_GOODBYE, TimeoutError):
            client.sendall(head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            client.linger(_LARGEST_REST_OF_NONSENSE)


class Logger(glogging.Logger):  # type: ignore[misc]
    """gunicorn's lines in the form of all the relay's lines."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def _every_address(port: str) -> list[str]:
    """Of IPv6 and IPv4, where the machine has both."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
            takes_both = not probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return [f"0.0.0.0:{port}"]
    return [f"[::]:{port}"] if takes_both else [f"[::]:{port}", f"0.0.0.0:{port}"]


# Each connection is one.
allow_open_files()
bind = _every_address(os.environ.get("PORT") or "8000")
worker_class = Worker
logger_class = Logger
workers = 2
# Definitions that can't be used end the start, and not only each worker's; workers share the program's memory.
preload_app = True

# For a worker that hangs whole.
timeout = 60
graceful_timeout = 20
# Seconds until the first byte must have come, and then until each request's head must have; else the connection ends.
keepalive = 15
# In each worker. A connection costs little but its place: slow ones and silent ones don't keep the others waiting.
worker_connections = 2000
backlog = 1024
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 16380

# Whom to believe about addresses and hosts is BRIDGE_TRUSTED_PROXIES' to say: gunicorn believes no header at all.
# So it makes no difference from whom it would, and `*` saves each request a look at the address.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
forwarded_allow_ips = "*"
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
        background.listen_to_workers()
        gevent.spawn(background.keep_up)


def on_reload(server: Any) -> None:
    """SIGHUP: gunicorn replaces its workers."""
    if background := _background(server.app.callable):
        background.reload_now()


def post_worker_init(worker: Any) -> None:
    """Watches the definitions from the start, not from the first request."""
    from relay import concurrency, memory

    concurrency.start_threads()
    memory.begin(worker.cfg.workers)
    # They don't change any more, and gunicorn reads two dozen of them for each request, by two calls in Python each.
    vars(worker.cfg).update({name: setting.get() for name, setting in worker.cfg.settings.items()})
    # What is there by now stays: the collector need not look at it again every few deliveries.
    gc.freeze()
    gc.set_threshold(_OBJECTS_A_COLLECTION)
    if background := _background(worker.wsgi):
        background.start()
    gevent.spawn(_let_go_at_the_end, worker)


def _let_go_at_the_end(worker: Worker) -> None:
    """A worker that stops waits for its connections: those that idle would make it wait for as long as they may."""
    while worker.alive:
        gevent.sleep(0.1)
    while True:  # those whose answer is under way follow
        worker.places.let_go()
        gevent.sleep(0.1)


def worker_exit(server: Any, worker: Any) -> None:
    """Writes what has been counted and not been written yet."""
    if background := _background(getattr(worker, "wsgi", None)):
        background.stop()


def child_exit(server: Any, worker: Any) -> None:
    """A dead worker's gauges don't count."""
    from prometheus_client.multiprocess import mark_process_dead

    with suppress(OSError):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
