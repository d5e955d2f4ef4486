"""gunicorn's settings for the relay: ``gunicorn -c config/gunicorn.py 'relay:create_app()'``."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
import time
from contextlib import suppress
from typing import Any

from gunicorn import glogging
from gunicorn.workers.gthread import TConn, ThreadWorker

_LONGEST_REQUEST = 30.0
"""Seconds from a request's first byte to its answer: no platform waits longer, and a sender that trickles its bytes
must not hold a thread for ever."""


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which cuts off clients that take for ever."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._busy: dict[TConn, float] = {}

    def handle(self, conn: TConn) -> Any:
        self._busy[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            self._busy.pop(conn, None)

    def notify(self) -> None:
        """gunicorn calls it about once a second."""
        super().notify()
        latest = time.monotonic() - _LONGEST_REQUEST
        for conn, since in list(self._busy.items()):
            if since < latest:
                with suppress(OSError):  # the thread that reads from it sees its end
                    conn.sock.shutdown(socket.SHUT_RDWR)


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
threads = 8
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

if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    # All workers' metrics meet in this folder; it must be named before prometheus_client is imported.
    _folder = tempfile.mkdtemp(prefix="bridge-relay-metrics-")
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
        background.watch_only()


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
    """A dead worker's gauges don't count."""
    from prometheus_client.multiprocess import mark_process_dead

    with suppress(OSError):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
