"""Connections to Conductor: urllib3's, with one deadline for a whole call, and reset where a call
breaks off."""

from __future__ import annotations

import http.client
import io
import socket
import struct
import time
from base64 import b64encode
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import parse_url

from worker.conductor.errors import NotNow
from worker.conductor.server import Server

_KEPT_OPEN = 10.0
"""Seconds after which an idle connection isn't reused: if the server closed it just then, the
outcome would be unknown."""
_AT_MOST = 512
"""Idle connections that are kept: more than any worker has threads."""
_PIECE = 64 * 1024
_RESET_AT_CLOSE = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""SO_LINGER, on, for 0 s. Otherwise the kernel would go on sending what it still has for minutes
after a call has timed out, or its process was killed; after a cut of the network it would arrive
once the call has been made again."""


@dataclass(slots=True)
class Call:
    """A call under way; its times are `time.monotonic`'s."""

    leaves: float
    """Later than this, nothing of a request is sent."""
    seconds: float
    """How long it may take."""
    ends: float
    """When they are over."""
    largest: int
    """Bytes that the answer may have."""
    requested: bool = False
    """Whether a connection was there for the request, so that anything may have happened."""

    def seconds_left(self) -> float:
        """Seconds left for the answer. Raises TimeoutError if there are none."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's time is over")
        return left


current: ContextVar[Call] = ContextVar("current")
"""The call that this thread makes: urllib3 passes nothing of it on to its connections."""


class _Arriving(io.RawIOBase):
    """What arrives on a socket until the call's deadline: a time-out of the socket begins again
    with every byte."""

    def __init__(self, sock: Any):
        self._sock, self._bytes = sock, sock.makefile("rb", buffering=0)
        self._call = current.get()
        self.has_head = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What `http.client` asks a socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._call.seconds_left())
        count: int | None = self._bytes.readinto(buffer)
        if count == 0 and not self.has_head:  # `http.client` would take it for the end of the head
            raise ConnectionError("the server closed the connection before it had answered")
        return count

    def close(self) -> None:
        self._bytes.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any):
        self._arriving = _Arriving(sock)
        super().__init__(self._arriving, *args, **kwargs)  # type: ignore[arg-type]

    def begin(self) -> None:
        super().begin()
        self._arriving.has_head = True


class Connection(HTTPConnection):
    response_class = _Answer
    _used = 0.0

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._used < _KEPT_OPEN

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.is_closed:
            self.connect()
        current.get().requested = True
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        # The latest moment to check: without its last piece the server does nothing with a request.
        # A process that was frozen before, say while connecting, must not send that when it wakes
        # up.
        call, self._used = current.get(), time.monotonic()
        if self._used > min(call.leaves, call.ends):
            raise NotNow("it is too late to send the request")
        if self.sock is not None:
            self.sock.settimeout(call.seconds_left())
        super().send(data)


class SecureConnection(Connection, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = SecureConnection


def connections(server: Server) -> urllib3.PoolManager:
    """Connections to the server, for any number of threads: no request is repeated.

    Certificates, the client's and those of the authorities, are read for each new connection, so
    that they may be replaced while the process runs. Raises an HTTPError of urllib3 for a proxy
    that it can't use.
    """
    options: dict[str, Any] = {
        "maxsize": _AT_MOST,
        "blocksize": _PIECE,
        "socket_options": [*HTTPConnection.default_socket_options, _RESET_AT_CLOSE],
        "retries": False,
        "cert_file": server.certificate,
        "key_file": server.certificate_key,
    }
    if (proxy := server.proxy) is None:
        manager = urllib3.PoolManager(**options)
    else:
        manager = urllib3.ProxyManager(
            proxy, proxy_headers=of_user(proxy, "proxy-authorization"), **options
        )
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager


def of_user(url: str, header: str = "authorization") -> dict[str, str]:
    """The header that carries a URL's user and password, whose characters a URL escapes; none
    without a user."""
    auth = parse_url(url).auth
    if auth is None:
        return {}
    user, _, password = map(unquote, auth.partition(":"))
    return {header: f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}
