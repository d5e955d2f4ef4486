"""A peer's connection as gunicorn uses it: what peers may cost that are slow, never read, or stay.

gunicorn's parser looks through all that it has at every read, which makes long heads that come in pieces quadratic; and
it believes any number of fields, each as long as it may be. So a head is collected here, once and up to a bound, and
given to it whole. gunicorn sends head and body of an answer apart; here they become one packet.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

import gevent
from gevent.socket import wait_read
from gunicorn.http.errors import LimitRequestHeaders

from relay.memory import Memory, Overloaded

LONGEST_BODY = 30.0
"""Seconds that a body may take to come. (A head has as long as gunicorn's `keepalive` says.)"""
LONGEST_ANSWER = 30.0
"""Seconds that a peer may take to read its answer, and to send what is left of its request."""
LARGEST_HEAD = 64 * 1024
"""Bytes of request line and headers together."""
_PIECE = 8 * 1024
_END = re.compile(rb"\r\n\r\n|(?<!\r)\n")
"""Where a head ends; or a line that ends in another way than HTTP's, which the parser refuses."""
_LONGEST_TURN = 0.005
"""Seconds of work on what one peer sends, after which the others have their turn."""
_LARGEST_REST = 64 * 1024 * 1024
_REST_PIECE = 64 * 1024
_MOST_FRAMING = 2
"""Bytes around a chunked body's content for each byte of it. Chunks of a few bytes cost the parser most."""
_SPARE_FRAMING = 64 * 1024


class _SilentPeer(Exception):
    """Nothing came."""


class TooMuchFraming(OSError):
    """A chunked body of hardly anything but chunks' sizes, extensions and trailers."""


class Connection:
    """Stands for the socket; whatever it doesn't know is the socket's."""

    def __init__(self, peer: Any, memory: Memory):
        self._peer = peer
        self._memory = memory
        self._in_head = True
        self._is_idle = False
        self._has_begun = False
        self._is_discarding = False
        self._gives_way = False
        self._is_over = False
        self._seen = b""
        """The last bytes that the parser was given: the end of a head may begin in them."""
        self._head = 0
        """Bytes of this head that the parser was given."""
        self._came = 0
        self._may_come: int | None = None
        self._worked = 0.0
        self._given = 0.0
        self._body_until = 0.0
        self._body_is_read = False
        self._answer: bytearray | None = None
        """What the peer hasn't been sent yet; None while there is no answer to it."""

    @property
    def is_tls(self) -> bool:
        """Whether gunicorn itself speaks TLS."""
        return isinstance(self._peer, ssl.SSLSocket)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    # --- what gunicorn calls

    def recv(self, size: int) -> bytes:
        """A whole head while one is expected, else what has come. Raises LimitRequestHeaders, TooMuchFraming or
        Overloaded."""
        if self._is_over:
            return b""
        return self._receive_head() if self._in_head else self._receive_body(size)

    def _receive_head(self) -> bytes:
        begin = looked = len(self._seen)
        piece = self._receive(_PIECE)
        whole: bytes | bytearray = self._seen + piece  # all of the head, nearly always
        while piece:
            found = _END.search(whole, max(0, looked - 3))
            looked = found.end() if found else len(whole)
            if self._head + looked - begin > LARGEST_HEAD:
                raise LimitRequestHeaders("the head is too large")
            if found:
                break
            whole = bytearray(whole)
            piece = self._receive(_PIECE)
            whole += piece
        self._seen = bytes(whole[-3:])
        self._head += looked - begin
        return bytes(whole[begin:])

    def _receive_body(self, size: int) -> bytes:
        # What is there already comes without waiting, and its parsing would keep the others waiting.
        self._worked += time.perf_counter() - self._given
        if self._worked > _LONGEST_TURN:
            self._worked = 0.0
            gevent.sleep(0)
        left = self._body_until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the body takes too long")
        with gevent.Timeout(left, TimeoutError):
            piece = self._receive(size)
        self._came += len(piece)
        if self._may_come is not None and self._came > self._may_come:
            raise TooMuchFraming("more framing than content")
        self._seen = (self._seen + piece)[-3:]
        self._given = time.perf_counter()
        return piece

    def _receive(self, size: int) -> bytes:
        piece = self._wait_for(size)
        if self._gives_way:
            if not self._has_begun:
                return b""  # who has asked for nothing gets no answer
            raise Overloaded("others have been served instead")
        self._has_begun = True
        if not self._is_discarding:
            self._memory.hold(self, len(piece))
        return piece

    def _wait_for(self, size: int) -> bytes:
        piece: bytes
        try:
            piece = self._peer.recv(size)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            # So gevent ends a wait on a connection that is shut for reading: it is open, and what had come can be read.
            piece = self._peer.recv(size)
        return piece

    def sendall(self, data: bytes) -> None:
        """Sends the data; of an answer, when all of it is there."""
        if self._answer is None:
            self._peer.sendall(data)
        else:
            self._answer += data

    # --- what the relay says

    def await_first(self, seconds: float) -> bool:
        """Waits that long at most until something comes on a new connection, which idles until then; False if nothing
        came."""
        self._is_idle = True
        try:
            wait_read(self._peer.fileno(), seconds, _SilentPeer)
        except (_SilentPeer, OSError):
            return False
        self._is_idle = False
        return True

    def head_is_read(self) -> None:
        """A request's head has come; what comes next is its body, and what is sent is its answer."""
        self._in_head, self._is_idle = False, False
        self._came, self._may_come = 0, None
        self._worked, self._given = 0.0, time.perf_counter()
        self._body_until, self._body_is_read = time.monotonic() + LONGEST_BODY, False
        self._answer = bytearray()

    def body_is_read(self) -> None:
        """Nothing is left of the request."""
        self._body_is_read = True

    def finish(self, request: Any) -> None:
        """Sends the answer, and reads what is left of gunicorn's request. Raises OSError."""
        answer, self._answer = self._answer or b"", None
        sent = 0
        if not self.is_tls:  # TLS has no such way: gevent would wait there for as long as the peer likes
            with suppress(BlockingIOError):
                sent = self._peer.send(answer, 0, 0.0)  # of nearly every answer all, without waiting
        if sent == len(answer) and self._body_is_read:
            return
        # An error of the connection, as if the peer had gone: gunicorn closes it without a word.
        gone = BrokenPipeError(errno.EPIPE, "the peer does not read its answer")
        with gevent.Timeout(LONGEST_ANSWER, gone) as limit:
            self._peer.sendall(answer[sent:])
            self._read_rest(request, limit)

    def _read_rest(self, request: Any, limit: gevent.Timeout) -> None:
        """A connection that is closed over unread bytes is reset, and its peer may never see the answer. What is too
        much, or too slow, is left."""
        self.discard()
        self._body_until = time.monotonic() + LONGEST_ANSWER
        left = _LARGEST_REST
        try:
            if any(name == "TRANSFER-ENCODING" for name, _ in request.headers):
                # Of chunks, which cost more to read than to send, no more than it takes to see the usual end.
                self.expect(_REST_PIECE)
                left = _REST_PIECE
            while left > 0 and (piece := request.body.read(min(_REST_PIECE, left))):
                left -= len(piece)
        except Exception:  # the parser has errors of its own
            left = 0
        if left == 0:
            # Where the next request begins is unknown.
            self.end()
            if limit.pending:
                self.linger()

    def request_is_over(self) -> None:
        """Another request's head may come."""
        self._in_head, self._head, self._has_begun = True, 0, False
        self._is_discarding, self._is_idle = False, True
        self._answer = None
        self._memory.free(self)

    def expect(self, content: int) -> None:
        """So many bytes of a chunked body's content are to be read next: bounds what may come around them."""
        more = content * (1 + _MOST_FRAMING)
        self._may_come = (_SPARE_FRAMING if self._may_come is None else self._may_come) + more

    def discard(self) -> None:
        """What comes of this request is not kept any more."""
        self._is_discarding = True
        self._memory.free(self)

    def end(self) -> None:
        """Nothing more is read for gunicorn, which then ends the connection."""
        self._is_over = True

    def linger(self, most: int = _LARGEST_REST) -> None:
        """Ends the connection, and reads what still comes: over unread bytes it would be reset, and its peer might not
        see the answer. What is more than `most` bytes, or too slow for the caller, is left."""
        self.end()
        with suppress(OSError):
            self._peer.shutdown(socket.SHUT_WR)
            while most > 0 and (piece := self._peer.recv(_REST_PIECE)):
                most -= len(piece)

    def let_go(self) -> None:
        """The process ends: so does the connection, if no request is under way. What has come is still answered."""
        if self._is_idle:
            with suppress(OSError):
                self._peer.shutdown(socket.SHUT_RD)

    def give_way(self) -> None:
        """Is a `relay.memory.Holder`."""
        self._gives_way = True
        with suppress(OSError):
            self._peer.shutdown(socket.SHUT_RD)


class Places:
    """A process's connections, of which there can be only so many."""

    def __init__(self, number: int):
        self._most = number - max(1, number // 10)
        self._taken: dict[Connection, None] = {}  # whose last request was over first is first

    def take(self, connection: Connection) -> None:
        """The connection is new, or waits for another request. If there are too many, another one ends."""
        self._taken.pop(connection, None)
        self._taken[connection] = None
        if len(self._taken) > self._most:
            longest = next(iter(self._taken))
            del self._taken[longest]
            longest.give_way()

    def leave(self, connection: Connection) -> None:
        """The connection is over."""
        self._taken.pop(connection, None)

    def let_go(self) -> None:
        """The process ends: connections on which no request is under way end, those of others after their answer."""
        for connection in list(self._taken):
            connection.let_go()
