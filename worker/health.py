"""Whether the worker is alive and ready, over HTTP beside its metrics."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import make_wsgi_app

from store.protocols import StoreUnavailable
from worker.progress import Progress

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = structlog.get_logger()

STUCK_AFTER = 60.0
"""Seconds without a beat after which a thread counts as stuck: its longest single step, a call to Conductor or a write
to a store that is locked, takes a fraction of that."""


class Health:
    """What the worker's own threads say of themselves. Safe for threads."""

    def __init__(self, check_store: Callable[[], object], clock: Callable[[], float] = time.monotonic):
        """`check_store` raises StoreUnavailable when the store can't be read; `clock` counts seconds."""
        self._check_store = check_store
        self._clock = clock
        self._beats: dict[str, float] = {}
        self.progress = Progress(clock)

    def beat(self, thread: str) -> None:
        """That thread gets on with its work."""
        self._beats[thread] = self._clock()

    def stuck(self) -> list[str]:
        """The threads that have not got on for `STUCK_AFTER` seconds."""
        now = self._clock()
        return [thread for thread, at in list(self._beats.items()) if now - at > STUCK_AFTER]

    def problems(self) -> list[str]:
        """Why the worker isn't ready; empty if it is."""
        problems = [f"{thread} is stuck" for thread in self.stuck()]
        if seconds := self.progress.stuck_for:
            problems.append(f"nothing was decided or called for {seconds:.0f} s, although something is overdue")
        try:
            self._check_store()
        except StoreUnavailable as error:
            problems.append(f"the store can't be read: {error}")
        return problems


def application(health: Health) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """The WSGI application: /metrics, /healthz (alive: no thread is stuck), /readyz (and the store
    can be read, and what is due gets done)."""
    metrics = make_wsgi_app()

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/healthz":
            problems = [f"{thread} is stuck" for thread in health.stuck()]
        elif path == "/readyz":
            problems = health.problems()
        else:
            served: Iterable[bytes] = metrics(environ, start_response)
            return served
        body = json.dumps({"status": "unavailable", "problems": problems} if problems else {"status": "ok"})
        status = "503 Service Unavailable" if problems else "200 OK"
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body.encode()]

    return respond


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds in which a peer must have sent its request

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes and probes come every few seconds: they aren't logged."""


def serve(address: str, health: Health) -> WSGIServer | None:
    """Serves at ``HOST:PORT`` on a thread of its own; ``off`` for nowhere.

    Returns the server, for tests to stop. A port that is taken is only worth a warning.
    """
    if address == "off":
        return None
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"

    class Server(_Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        server = make_server(host, int(port), application(health), Server, _Handler)
    except OSError as error:
        log.warning("no metrics: the address can't be listened on", address=address, error=str(error))
        return None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
