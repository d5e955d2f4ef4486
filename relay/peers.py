"""What gunicorn leaves to the application: peers that are slow, that never read, or that stay."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import gevent
from gevent.socket import wait_read

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

LONGEST_BODY = 30.0
"""Seconds that a body may take to come. (A head has as long as gunicorn's `keepalive` says.)"""
LONGEST_ANSWER = 30.0
"""Seconds that a peer may take to read its answer, and to send what is left of its request."""
_LARGEST_REST = 64 * 1024 * 1024
_PIECE = 64 * 1024


class _SilentPeer(Exception):
    """Nothing came."""


class Peers:
    """WSGI middleware that bounds how long a peer can hold a connection, and lets the idle ones go at the end."""

    def __init__(self, application: WSGIApplication):
        self._application = application
        self._idle: WeakSet[Any] = WeakSet()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        connection = environ.get("gunicorn.socket")
        if connection is None:  # another server, or a test
            return self._application(environ, start_response)
        self._idle.discard(connection)
        return _Sending(self._application(environ, start_response), environ, self._idle)

    def await_first(self, connection: Any, seconds: float) -> bool:
        """Waits that long at most until something comes on a new connection, which idles until then; False if nothing
        came."""
        self._idle.add(connection)
        try:
            wait_read(connection.fileno(), seconds, _SilentPeer)
        except _SilentPeer:
            return False
        finally:
            self._idle.discard(connection)
        return True

    def let_go(self) -> None:
        """The server stops: connections on which no request is under way end, those of others after their answer."""
        for connection in list(self._idle):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # what has come is still read and answered


class _Sending:
    """An answer on its way, as WSGI iterates over it."""

    def __init__(self, answer: Iterable[bytes], environ: dict[str, Any], idle: WeakSet[Any]):
        self._answer = answer
        self._connection = environ["gunicorn.socket"]
        self._body = environ["wsgi.input"]
        self._is_chunked = "HTTP_TRANSFER_ENCODING" in environ
        self._idle = idle
        _hold_back(self._connection, True)  # gunicorn sends head and body apart
        # An error of the connection, as if the peer had gone: gunicorn closes it without a word.
        gone = BrokenPipeError(errno.EPIPE, "the peer does not read its answer")
        self._limit = gevent.Timeout.start_new(LONGEST_ANSWER, gone)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        try:
            _hold_back(self._connection, False)
            if close := getattr(self._answer, "close", None):
                close()
            self._read_rest()
        finally:
            self._limit.close()
        self._idle.add(self._connection)

    def _read_rest(self) -> None:
        """Reads what is left of a body whose answer has been sent without it: a connection that is closed over unread
        bytes is reset, and its peer may never see the answer. What is too much, or too slow, is left."""
        self._connection.discard()
        left = _LARGEST_REST
        try:
            if self._is_chunked:
                # Of chunks, which cost more to read than to send, no more than it takes to see the usual end.
                self._connection.expect(_PIECE)
                left = _PIECE
            while left > 0 and (piece := self._body.read(min(_PIECE, left))):
                left -= len(piece)
        except Exception:  # the parser has errors of its own
            left = 0
        if left == 0:
            # Where the next request begins is unknown.
            self._connection.end()
            if self._limit.pending:
                self._connection.linger()


def _hold_back(connection: Any, hold: bool) -> None:
    """Whether the kernel keeps what is less than a packet: so head and body of an answer become one."""
    with suppress(OSError, AttributeError):  # no TCP, gone already, or no Linux
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, int(hold))
