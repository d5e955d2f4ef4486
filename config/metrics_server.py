"""Serves a process's metrics, and what stands beside them, at HOST:PORT."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds within which a peer must send its request

    def handle(self) -> None:
        """Answers a request; a peer that sends none in time, or leaves, is nothing to report."""
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes and probes come every few seconds, so they aren't logged."""


def serve(address: str, application: WSGIApplication) -> WSGIServer:
    """Serves the application on a separate thread, until the server is shut down and closed.

    An IPv6 address is in brackets. Raises OSError if it can't listen on the address.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"

    families = {found[0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}

    class Server(ThreadingMixIn, WSGIServer):
        # A name such as localhost may have addresses of both kinds; the IPv6 one may not be there to listen on.
        address_family = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
        daemon_threads = True

    server = make_server(host, int(port), application, Server, _Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
