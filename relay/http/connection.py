"""A peer's connection as gunicorn uses it: bounds what a peer that is slow, never reads or never leaves may cost.

gunicorn's parser rescans everything it has at every read, so a long head that arrives in pieces takes quadratic time;
and it accepts any number of fields of the greatest length. So the head is collected here, up to a bound, and handed
over whole. gunicorn sends an answer's head and body separately; here they become one packet.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
from gevent import monkey
from gevent.socket import wait_read
from gunicorn.http.errors import LimitRequestHeaders

from relay.http.memory import Memory, Overloaded

LONGEST_BODY = 30.0
"""Seconds that a body may take to arrive. (gunicorn's `keepalive` bounds the head.)"""
LONGEST_ANSWER = 30.0
"""Seconds that a peer may take to read its answer, and to send what is left of its request."""
LARGEST_HEAD = 64 * 1024
"""Bytes: the request line and headers together."""
_PIECE = 8 * 1024
_WHOLE_REQUEST = 16 * 1024
"""Bytes that are read at once of what may be a whole request: what any request may hold (`relay.http.memory`)."""
_END = re.compile(rb"\r\n\r\n|(?<!\r)\n")
"""Where a head ends; or a line without HTTP's line ending, which the parser refuses."""
_LONGEST_TURN = 0.005
"""Seconds of work on one peer's data before the others get their turn."""
_LARGEST_REST = 64 * 1024 * 1024
_REST_PIECE = 64 * 1024
_MOST_FRAMING = 2
"""Bytes of framing per byte of a chunked body's content. Chunks of a few bytes cost the parser most."""
_SPARE_FRAMING = 64 * 1024
_LAST_CHANCE = 1.0
"""Seconds that a peer may take to read its answer if others have been served instead."""

_READABLE = 1
"""An event of gevent's loop."""
_Socket: type[socket.socket] = monkey.get_original("socket", "socket")


class _SilentPeer(Exception):
    """Nothing came."""


class TooMuchFraming(OSError):
    """A chunked body that is mostly chunk sizes, extensions and trailers."""


class Connection:
    """Wraps the socket, and passes everything else through to it."""

    def __init__(self, peer: Any, memory: Memory, places: Places | None = None):
        """`places`: the process's connections, which this is one of."""
        self._peer = peer
        self._memory = memory
        self._places = places
        self._in_head = True
        self._is_idle = False
        self._has_begun = False
        self._is_discarding = False
        self._gives_way = False
        self._is_sending = False
        """Whether the peer must read for its answer to be sent."""
        self.is_over = False
        """Whether nothing more is to be read from it."""
        self._unread = b""
        self._seen = b""
        """The last bytes given to the parser: the end of a head may begin in them."""
        self._head = 0
        """Bytes of this head given to the parser so far."""
        self._came = 0
        self._may_come: int | None = None
        self._worked = 0.0
        self._given = 0.0
        self._body_until = 0.0
        self._body_is_read = False
        self._answer: bytearray | None = None
        """The part of the answer that hasn't been sent yet; None while no request is being answered."""

    @property
    def is_tls(self) -> bool:
        """Whether gunicorn itself terminates TLS."""
        return isinstance(self._peer, ssl.SSLSocket)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    # --- what gunicorn calls

    def recv(self, size: int) -> bytes:
        """A whole head if one is expected, else whatever has arrived. Raises LimitRequestHeaders, TooMuchFraming or
        Overloaded."""
        if self.is_over:
            return b""
        return self._receive_head() if self._in_head else self._receive_body(size)

    def receive_some(self) -> bytes:
        """What has arrived of a request, perhaps all of it; empty at the end. Raises OSError or Overloaded."""
        return self._receive(_WHOLE_REQUEST)

    def unread(self, data: bytes) -> None:
        """Gives back the end of what was received last: it is received again."""
        self._unread = data
        self._memory.free(self)

    def _receive_head(self) -> bytes:
        begin = looked = len(self._seen)
        piece = self._receive(_PIECE)
        whole: bytes | bytearray = self._seen + piece  # nearly always the whole head
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
        # Data that is already there arrives without a wait, so parsing it would keep the others waiting.
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
        piece, self._unread = self._unread or self._wait_for(size), b""
        if self._gives_way:
            if not self._has_begun:
                return b""  # a peer that asked for nothing gets no answer
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
            # gevent ends a wait this way if the connection is shut for reading. It is still open, and what had arrived
            # can be read.
            piece = self._peer.recv(size)
        return piece

    def sendall(self, data: bytes) -> None:
        """Sends the data. An answer is collected, and sent once it is complete."""
        if self._answer is None:
            self._peer.sendall(data)
        else:
            self._answer += data

    # --- what the relay says

    def await_first(self, seconds: float) -> bool:
        """Waits at most `seconds` for the first byte on a new connection, which counts as idle meanwhile; False if none
        came."""
        self._is_idle = True
        try:
            wait_read(self._peer.fileno(), seconds, _SilentPeer)
        except (_SilentPeer, OSError):
            return False
        self._is_idle = False
        return True

    def head_is_read(self) -> None:
        """A request's head has been read: its body comes next, and what is sent is its answer."""
        self._in_head, self._is_idle = False, False
        self._came, self._may_come = 0, None
        self._worked, self._given = 0.0, time.perf_counter()
        self._body_until, self._body_is_read = time.monotonic() + LONGEST_BODY, False
        self._answer = bytearray()

    def body_is_read(self) -> None:
        """The whole request has been read."""
        self._body_is_read = True

    @contextmanager
    def waiting(self, gone: Callable[[], None]) -> Iterator[None]:
        """While the answer depends on others: the connection takes no place, and holds nothing of its request.
        Calls `gone`, which mustn't block, once the peer hangs up."""
        self.discard()
        if self._places is not None:
            self._places.leave(self)
        watcher = gevent.get_hub().loop.io(self._peer.fileno(), _READABLE)

        def look() -> None:
            watcher.stop()  # what follows the request in the buffer hides from now on whether the peer hangs up
            if _is_at_end(self._peer.fileno()):
                gone()

        watcher.start(look)
        try:
            yield
        finally:
            watcher.stop()
            watcher.close()
            if self._places is not None:
                self._places.take(self)

    def hold(self, size: int) -> None:
        """Records the bytes of an answer that others made. Raises Overloaded if there is no room for them."""
        self._memory.hold(self, size)

    def finish(self, request: Any) -> None:
        """Sends the answer, and reads the rest of gunicorn's request. Raises OSError."""
        answer, self._answer = self._answer or b"", None
        sent = 0
        if not self.is_tls:  # not with TLS, where gevent ignores the timeout and waits as long as the peer likes
            with suppress(BlockingIOError):
                sent = self._peer.send(answer, 0, 0.0)  # nearly always sends the whole answer, without waiting
        if sent == len(answer) and self._body_is_read:
            return
        # A connection error, as if the peer had gone: gunicorn then closes the connection silently.
        gone = BrokenPipeError(errno.EPIPE, "the peer does not read its answer")
        with gevent.Timeout(_LAST_CHANCE if self._gives_way else LONGEST_ANSWER, gone) as limit:
            self._send_rest(answer[sent:], gone)
            self._read_rest(request, limit)

    def _send_rest(self, rest: bytes | bytearray, gone: OSError) -> None:
        self._is_sending = True
        try:
            self._peer.sendall(rest)
        except OSError as error:
            raise (gone if self._gives_way else error) from None
        finally:
            self._is_sending = False

    def _read_rest(self, request: Any, limit: gevent.Timeout) -> None:
        """Reads the rest of the request, unless it is too long or too slow: closing a connection with unread bytes
        resets it, and the peer may never see the answer."""
        self.discard()
        self._body_until = time.monotonic() + LONGEST_ANSWER
        left = _LARGEST_REST
        try:
            if any(name == "TRANSFER-ENCODING" for name, _ in request.headers):
                # Chunks cost more to read than to send, so read only enough to see the usual end.
                self.expect(_REST_PIECE)
                left = _REST_PIECE
            while left > 0 and (piece := request.body.read(min(_REST_PIECE, left))):
                left -= len(piece)
        except Exception:  # the parser has its own exceptions
            left = 0
        if left == 0:
            # It isn't known where the next request begins.
            self.end()
            if limit.pending:
                self.linger()

    def request_is_over(self) -> None:
        """The request is over: the head of another may come."""
        self._in_head, self._head, self._has_begun = True, 0, False
        self._is_discarding, self._is_idle = False, True
        self._answer = None
        self._memory.free(self)

    def expect(self, content: int) -> None:
        """`content` more bytes of a chunked body are about to be read: bounds the framing around them."""
        more = content * (1 + _MOST_FRAMING)
        self._may_come = (_SPARE_FRAMING if self._may_come is None else self._may_come) + more

    def discard(self) -> None:
        """What still arrives of this request is no longer kept."""
        self._is_discarding = True
        self._memory.free(self)

    def end(self) -> None:
        """Gives gunicorn nothing more to read, so that it closes the connection."""
        self.is_over = True

    def linger(self, most: int = _LARGEST_REST) -> None:
        """Ends the connection, and reads what still arrives: with unread bytes it would be reset, and the peer might
        not see the answer. Reads at most `most` bytes, for as long as the caller allows."""
        self.end()
        with suppress(OSError):
            self._peer.shutdown(socket.SHUT_WR)
            while most > 0 and (piece := self._peer.recv(_REST_PIECE)):
                most -= len(piece)

    def stop_keeping(self) -> None:
        """The process is stopping: ends the connection if no request is in flight. What has arrived is still
        answered."""
        if self._is_idle:
            with suppress(OSError):
                self._peer.shutdown(socket.SHUT_RD)

    def give_way(self) -> None:
        """Implements `relay.http.memory.Holder`."""
        self._gives_way = True
        with suppress(OSError):
            if self._is_sending:  # otherwise its answer would take memory for as long as the peer likes
                with _raw(self._peer.fileno()) as raw:
                    raw.shutdown(socket.SHUT_RDWR)
            else:
                self._peer.shutdown(socket.SHUT_RD)


@contextmanager
def _raw(descriptor: int) -> Iterator[socket.socket]:
    """The socket itself: the connection's own object switches to other greenlets."""
    raw = _Socket(fileno=descriptor)
    try:
        yield raw
    finally:
        raw.detach()


def _is_at_end(descriptor: int) -> bool:
    """Whether a socket that is readable has nothing more to read."""
    try:
        with _raw(descriptor) as raw:
            return not raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


class Places:
    """A process's connections, whose number is limited."""

    def __init__(self, number: int):
        self._most = number - max(1, number // 10)
        self._taken: dict[Connection, None] = {}  # in the order in which their last requests ended

    def take(self, connection: Connection) -> None:
        """The connection is new, or waits for another request. If there are too many, the longest idle one is
        closed."""
        self._taken.pop(connection, None)
        self._taken[connection] = None
        if len(self._taken) > self._most:
            longest = next(iter(self._taken))
            del self._taken[longest]
            longest.give_way()

    def leave(self, connection: Connection) -> None:
        """The connection has closed."""
        self._taken.pop(connection, None)

    def stop_keeping(self) -> None:
        """The process is stopping: closes idle connections now, and the others after their answer."""
        for connection in list(self._taken):
            connection.stop_keeping()
