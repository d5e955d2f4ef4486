"""What every process has, besides its configuration: wake-ups, room for open files, and a server
for its metrics."""

from __future__ import annotations

import os
import resource
import select
import socket
import threading
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_MOST_OPEN = 65536


def allow_open_files() -> int:
    """Raises this process's limit as far as the system allows, up to 65,536: the default is often a
    thousand. Returns the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_OPEN if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
    return _MOST_OPEN if soft == resource.RLIM_INFINITY else soft


class Descriptor:
    """A file descriptor that is closed when nothing refers to it any more.

    Each user keeps a reference while using it. So it needs no lock, which a signal handler must not
    take, and its number isn't reused for another file before the last use is over.
    """

    def __init__(self, number: int):
        """Takes ownership of the open descriptor `number`."""
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class WakeUp:
    """Rung once, it stays rung until it is cleared.

    It may be rung from a signal handler, unlike a `threading.Event`: the handler may have
    interrupted the very thread that holds the event's lock.
    """

    def __init__(self) -> None:
        ends = os.pipe()
        for end in ends:
            os.set_blocking(end, False)
        self._ends: tuple[Descriptor, Descriptor] | None = (
            Descriptor(ends[0]),
            Descriptor(ends[1]),
        )

    def fileno(self) -> int:
        """The descriptor that is readable while it is rung; -1 once closed. For the thread that
        closes it."""
        return self._ends[0].number if self._ends is not None else -1

    def ring(self) -> None:
        """Wakes the waiting thread, now or at its next wait."""
        ends = self._ends
        if ends is not None:
            with suppress(OSError):  # it is full, so it is already rung
                os.write(ends[1].number, b"\0")

    def wait(self, seconds: float) -> bool:
        """Waits until it is rung, or the time is over; returns whether it was rung."""
        ends = self._ends
        if ends is None:
            return False
        poll = select.poll()
        poll.register(ends[0].number, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def clear(self) -> None:
        """Clears it: from now on it is not rung."""
        ends = self._ends
        if ends is not None:
            with suppress(OSError):
                while os.read(ends[0].number, 4096):
                    pass

    def close(self) -> None:
        """Closes its descriptors; ringing it then has no effect."""
        self._ends = None


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds within which a peer must send its request

    def handle(self) -> None:
        """Answers a request; a peer that sends none in time, or leaves, is nothing to report."""
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes and probes come every few seconds, so they aren't logged."""


def serve_metrics(address: str, application: WSGIApplication) -> WSGIServer:
    """Serves the application on a separate thread, until the server is shut down and closed.

    An IPv6 address is in brackets. Raises OSError if it can't listen on the address.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"

    families = {found[0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}

    class Server(ThreadingMixIn, WSGIServer):
        # A name such as localhost may have addresses of both kinds; the IPv6 one may not be there
        # to listen on.
        address_family = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
        daemon_threads = True

    server = make_server(host, int(port), application, Server, _Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
