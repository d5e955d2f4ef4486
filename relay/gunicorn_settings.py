"""gunicorn's settings for the relay, and the hooks that it documents."""

# ruff: noqa: E402
from __future__ import annotations

from gevent import monkey

# Before any import that can block: gunicorn imports the application in the parent, so its workers'
# own patch would come too late for anything that has a lock or a socket by then.
monkey.patch_all()

import atexit
import os
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from typing import Any

import gevent
from gunicorn import glogging

from config.process import allow_open_files
from config.references import environment_with_dotenv
from config.settings import SettingsError, port_of
from relay.limits.log_throttle import LogThrottle

_LONGEST_LINE = 300


class Logger(glogging.Logger):  # type: ignore[misc]
    """gunicorn's log lines in the same form as the relay's."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self._throttle = LogThrottle()

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Among them is one for each request that isn't HTTP: strangers can cause any number, of
        any length."""
        if self._throttle.left_out("warning") is not None:
            super().warning(msg[:_LONGEST_LINE], *args, **kwargs)


def _port() -> int:
    try:
        return port_of(environment_with_dotenv(), "PORT", 8000)
    except SettingsError as error:
        sys.exit(f"the relay can't start:\n{error}")


def _every_address(port: int) -> list[str]:
    """IPv6 and IPv4, if the machine has both."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
            takes_both = not probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return [f"0.0.0.0:{port}"]
    return [f"[::]:{port}"] if takes_both else [f"[::]:{port}", f"0.0.0.0:{port}"]


allow_open_files()  # each connection uses one
bind = _every_address(_port())
worker_class = "gevent"
logger_class = Logger
workers = 2
# Unusable definitions fail the start as a whole, not just each worker's; and workers share the
# program's memory.
preload_app = True

# For a worker that hangs completely.
timeout = 60
graceful_timeout = 20
# Seconds within which each request's head must arrive; otherwise the connection is closed.
keepalive = 5
# Per worker. A silent connection costs its slot for as long as `keepalive`.
worker_connections = 2000
backlog = 1024
# Together they bound what parsing a head costs. The proxy in deploy/nginx has the same limits.
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8192

# BRIDGE_TRUSTED_PROXIES decides whose headers about addresses and hosts are trusted; gunicorn
# itself trusts none. So it doesn't matter whose it would, and `*` saves each request a check of the
# address.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""
forwarded_allow_ips = "*"
accesslog = None
control_socket_disable = True

# In memory if possible: each worker's metrics are a mapped file, so a full disk would kill any
# worker that writes to them, instead of letting it answer 503.
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
    return application.extensions["relay"]


def when_ready(server: Any) -> None:
    """New workers start with the parent's definitions, so the parent keeps them up to date."""
    background = _background(server.app.callable)
    background.before_fork()
    gevent.spawn(background.keep_up)


def on_reload(server: Any) -> None:
    """SIGHUP: gunicorn replaces its workers."""
    _background(server.app.callable).reload_now()


def post_worker_init(worker: Any) -> None:
    """Watches the definitions from the start, not from the first request."""
    from relay import concurrency

    concurrency.start_threads()
    background = _background(worker.wsgi)
    background.start()
    _at_sigterm(background.waiting.stop)


def _at_sigterm(act: Any) -> None:
    """Senders that wait for a workflow are answered when the process is asked to stop."""
    others = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: Any) -> None:
        gevent.spawn(act)  # nothing may block in a signal handler
        if callable(others):
            others(number, frame)

    signal.signal(signal.SIGTERM, stop)


def worker_exit(server: Any, worker: Any) -> None:
    """Writes what has been counted but not written yet."""
    if hasattr(worker, "wsgi"):  # else it was stopped before it had the application
        _background(worker.wsgi).stop()


def child_exit(server: Any, worker: Any) -> None:
    """A dead worker's gauges don't count."""
    from prometheus_client.multiprocess import mark_process_dead

    with suppress(OSError):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
