"""gunicorn's settings for the relay: ``gunicorn -c relay/gunicorn_settings.py 'relay:create_app()'``."""

# ruff: noqa: E402
from __future__ import annotations

import importlib.metadata

from gevent import monkey

# For each module that it patches, gevent asks every installed distribution for plug-ins: all are read once instead of
# two dozen times, which took a fifth of the relay's start.
_entry_points = importlib.metadata.entry_points
_all_entry_points = _entry_points()
importlib.metadata.entry_points = lambda **chosen: _all_entry_points.select(**chosen)  # type: ignore[assignment]
# Before any import that can block: gunicorn imports the application in the parent, so its workers' own patch would come
# too late for anything that has a lock or a socket by then.
monkey.patch_all()
importlib.metadata.entry_points = _entry_points

import atexit
import errno
import gc
import os
import shutil
import socket
import ssl
import sys
import tempfile
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from config.garbage_collection import collect_rarely, not_collecting

with not_collecting():  # imported modules are never freed
    import gevent
    from gunicorn import glogging
    from gunicorn.http.errors import ParseException
    from gunicorn.workers.ggevent import GeventWorker

    from config.open_files import allow_open_files
    from config.references import environment_with_dotenv
    from relay.http.connection import Connection, Places
    from relay.http.memory import MEMORY, Overloaded
    from relay.http.usual_requests import (
        LONGEST_FIELD,
        LONGEST_LINE,
        MOST_FIELDS,
        UsualRequest,
        answer,
        are_read_under,
        usual,
    )
    from relay.waiting.places import MOST as MOST_WAITING
    from relay.waiting.places import most_waiting

_LONGEST_GOODBYE = 2.0
"""Seconds for which a connection is still read after an error."""
_LARGEST_REST_OF_NONSENSE = 256 * 1024
"""Bytes that are still read from such a connection after its answer."""
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})
"""The peer has closed its connection."""


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker; requests that aren't valid HTTP get an answer in the same form as all errors.

    When nearly all of its connections are taken, the one that has been idle longest is closed.
    """

    def __init__(self, *arguments: Any, **named: Any):
        self._is_alive = True
        super().__init__(*arguments, **named)
        # How many may wait for a workflow has a bound of its own.
        others = self.worker_connections - MOST_WAITING
        self.places = Places(others if others > 0 else self.worker_connections)
        self._names = [listener.getsockname() for listener in self.sockets]
        self._reads_usual_requests = are_read_under(self.cfg, os.environ)

    @property
    def alive(self) -> bool:
        """False from when it is asked to stop."""
        return self._is_alive

    @alive.setter
    def alive(self, alive: bool) -> None:
        if self._is_alive and not alive:
            gevent.spawn(_let_go_at_the_end, self)  # in signal handlers too, where nothing may block
        self._is_alive = alive

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serves a connection. One on which nothing has been sent is closed at once when the worker stops."""
        connection = Connection(client, MEMORY, self.places)
        self.places.take(connection)
        try:
            # With TLS, data may have been read already and be buffered in the socket.
            if connection.is_tls or connection.await_first(self.cfg.keepalive):
                # A worker that stops has closed its listeners, which gunicorn asks for their names all the same.
                name = self._names[self.sockets.index(listener)]
                if self._answer_usual_requests(name, connection, addr):
                    super().handle(SimpleNamespace(getsockname=lambda: name), connection, addr)
            else:
                connection.close()
        finally:
            connection.request_is_over()
            self.places.leave(connection)

    def _answer_usual_requests(self, name: Any, connection: Connection, addr: Any) -> bool:
        """Answers requests on a connection that has something to read. Returns whether gunicorn is to go on with it; if
        not, it is closed."""
        if not self._reads_usual_requests or connection.is_tls or not isinstance(addr, tuple):
            return True
        try:
            while data := connection.receive_some():
                request = usual(data, addr, name)
                if request is None:
                    connection.unread(data)
                    return True
                del data  # while a sender waits, nothing of its request is held
                self._answer_usual_request(request, connection)
                if request.rest and not connection.is_over:
                    connection.unread(request.rest)
                    return True
                if connection.is_over or not connection.await_first(self.cfg.keepalive):
                    break
        except OSError as error:
            if error.errno not in _GONE:
                self.log.exception("a connection failed")
        except Exception as error:
            self.handle_error(None, connection, addr, error)
        connection.close()
        return False

    def _answer_usual_request(self, request: UsualRequest, connection: Connection) -> None:
        connection.head_is_read()
        try:
            keep = request.keeps and self.alive
            connection.sendall(answer(self.wsgi, request, connection, keep))
            connection.finish(request)
        finally:
            connection.request_is_over()
            self.places.take(connection)
        if not keep:
            connection.end()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answers a request whose head has been read. Raises StopIteration if no other may follow."""
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
        """Answers if that is still possible; gunicorn then closes the connection."""
        if isinstance(exc, ssl.SSLError):
            return  # without a complete TLS handshake the peer can't read an answer
        if isinstance(exc, ParseException):
            status, more = "400 Bad Request", ""
            body = b'{"error": "bad_request", "message": "this is not a valid HTTP request"}'
            self.log.debug("invalid request from %s: %s", addr, exc)
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
    """gunicorn's log lines in the same form as the relay's."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def _port() -> str:
    text = environment_with_dotenv().get("PORT") or "8000"
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65536):
        sys.exit(f"the relay can't start:\nPORT: {text[:20]!r} is not a port; write a number from 1 to 65535")
    return text


def _every_address(port: str) -> list[str]:
    """IPv6 and IPv4, if the machine has both."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
            takes_both = not probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return [f"0.0.0.0:{port}"]
    return [f"[::]:{port}"] if takes_both else [f"[::]:{port}", f"0.0.0.0:{port}"]


# Each connection uses one.
_open_files = allow_open_files()
bind = _every_address(_port())
worker_class = Worker
logger_class = Logger
workers = 2
# Unusable definitions fail the start as a whole, not just each worker's; and workers share the program's memory.
preload_app = True

# For a worker that hangs completely.
timeout = 60
graceful_timeout = 20
# Seconds within which the first byte, and then each request's head, must arrive; otherwise the connection is closed.
keepalive = 15
# Per worker: 2000, and those that wait for the end of a workflow. A connection costs little but its slot: slow and
# silent ones don't keep the others waiting.
worker_connections = 2000 + MOST_WAITING
backlog = 1024
limit_request_line = LONGEST_LINE
limit_request_fields = MOST_FIELDS
limit_request_field_size = LONGEST_FIELD

# BRIDGE_TRUSTED_PROXIES decides whose headers about addresses and hosts are trusted; gunicorn itself trusts none. So it
# doesn't matter whose it would, and `*` saves each request a check of the address.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
forwarded_allow_ips = "*"
accesslog = None
control_socket_disable = True

# In memory if possible: each worker's metrics are a mapped file, so a full disk would kill any worker that writes to
# them, instead of letting it answer 503.
_memory = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK | os.X_OK)), None)  # noqa: S108
worker_tmp_dir = _memory

if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    # All workers' metrics meet in this folder; it must be set before prometheus_client is imported.
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
    """New workers start with the parent's definitions, so the parent keeps them up to date."""
    # Collecting garbage would write into the memory that all workers share.
    gc.freeze()
    if background := _background(server.app.callable):
        background.listen_to_workers()
        gevent.spawn(background.keep_up)


def on_reload(server: Any) -> None:
    """SIGHUP: gunicorn replaces its workers."""
    if background := _background(server.app.callable):
        background.reload_now()


def post_worker_init(worker: Any) -> None:
    """Watches the definitions from the start, not from the first request."""
    from relay import concurrency
    from relay.http import memory

    concurrency.start_threads()
    memory.begin(worker.cfg.workers)
    if background := _background(worker.wsgi):
        background.waiting.places.most = most_waiting(memory.share_of(worker.cfg.workers), _open_files)
    # Settings no longer change, and gunicorn reads two dozen of them per request, with two Python calls each.
    vars(worker.cfg).update({name: setting.get() for name, setting in worker.cfg.settings.items()})
    # What exists by now stays: the garbage collector needn't scan it again every few deliveries.
    gc.freeze()
    collect_rarely()
    if background := _background(worker.wsgi):
        background.start()


def _let_go_at_the_end(worker: Worker) -> None:
    """A worker that stops waits for its connections. Idle ones would make it wait for as long as they may idle."""
    while True:  # those that are being answered follow
        if background := _background(getattr(worker, "wsgi", None)):
            background.waiting.stop()
        worker.places.stop_keeping()
        gevent.sleep(0.1)


def worker_exit(server: Any, worker: Any) -> None:
    """Writes what has been counted but not written yet."""
    if background := _background(getattr(worker, "wsgi", None)):
        background.stop()


def child_exit(server: Any, worker: Any) -> None:
    """A dead worker's gauges don't count."""
    from prometheus_client.multiprocess import mark_process_dead

    with suppress(OSError):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
