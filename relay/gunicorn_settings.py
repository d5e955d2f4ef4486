"""gunicorn's settings for the relay: ``gunicorn -c relay/gunicorn_settings.py 'relay:create_app()'``."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from contextlib import suppress
from typing import Any

from gunicorn import glogging, util


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
worker_class = "relay.server.Worker"
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
    worker.gone()
    from prometheus_client.multiprocess import mark_process_dead

    with suppress(OSError):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
