"""One connection to Conductor's HTTP server: a request leaves in time or not at all, its answer is complete or none."""

from __future__ import annotations

import gzip
import io
import select
import socket
import ssl
import struct
import time
import zlib
from dataclasses import dataclass, field

import httptools
from urllib3.util import parse_url

from worker.conductor.errors import Garbled, NotNow, NotTrusted, OutcomeUnknown, Unreachable

_PIECE = 64 * 1024
_HEAD = 256 * 1024
_FRAMING = 8
"""A head and what frames the pieces of an answer have at most this many bytes, and so many for each byte of the body:
one in a piece of its own takes six."""
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER, on, for 0 s. Otherwise the kernel would go on sending what it still has for minutes after a call has timed
out, or its process was killed; after a cut of the network it would arrive once the call has been made again."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """By when (`time.monotonic`) a request must be connected, have left, and be fully answered."""

    connected: float
    leaves: float
    answered: float

    def left(self) -> float:
        """Seconds left for the answer. Raises TimeoutError if there are none."""
        left = self.answered - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


@dataclass(slots=True)
class Answer:
    """A complete answer; its headers have lower-case names."""

    status: int = 0
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class _Parser:
    """Gathers one answer after the other from what arrives on a connection."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.has_head = self.is_complete = False
        self.may_go_on = False
        """Whether the next answer may come on the same connection."""
        self._http: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def begin(self) -> None:
        """What arrives from now on is the next answer."""
        self.answer = Answer()
        self.has_head = self.is_complete = False

    def feed(self, data: bytes) -> None:
        """Takes in what has arrived. Raises OutcomeUnknown if that isn't HTTP."""
        assert self._http is not None
        try:
            self._http.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.may_go_on = False
            if not self.is_complete:
                raise OutcomeUnknown(f"the answer isn't HTTP: {error}") from error

    def end(self) -> bool:
        """The server has closed the connection; returns whether the answer is complete with that."""
        headers = self.answer.headers
        return self.has_head and "content-length" not in headers and "transfer-encoding" not in headers

    def close(self) -> None:
        """Lets go of the library's parser, which refers to this one."""
        self._http = None

    # --- called by httptools ---

    def on_message_begin(self) -> None:
        if self.is_complete:  # nothing was asked that this could answer
            self.may_go_on = False

    def on_status(self, reason: bytes) -> None:
        if not self.is_complete:
            self.answer.reason += reason.decode("latin-1")  # it may come in parts

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_complete:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            before = self.answer.headers.get(key)
            self.answer.headers[key] = text if before is None else f"{before}, {text}"

    def on_headers_complete(self) -> None:
        assert self._http is not None
        if not self.is_complete:
            self.answer.status = self._http.get_status_code()
            self.has_head = self.answer.status >= 200
            self.may_go_on = self._http.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        if not self.is_complete:
            self.answer.body += data

    def on_message_complete(self) -> None:
        if self.has_head:
            self.is_complete = True
        else:  # "100 Continue", or another of those that precede the answer
            self.answer = Answer()


class Connection:
    """A connection that is made when a request needs it, and closed after anything but a complete answer.

    For one thread.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None):
        """`url` names the server; `tls` is for one with https."""
        to = parse_url(url)
        usual = 80 if tls is None else 443
        address = (to.host or "").strip("[]")
        self._address = address, to.port or usual
        # Neither a dot at the end nor an IPv6 zone is part of the name: they say where to look it up.
        self._name = address.partition("%")[0] if ":" in address else address.rstrip(".")
        host = f"[{self._name}]" if ":" in self._name else self._name
        self.host = host if self._address[1] == usual else f"{host}:{to.port}"
        """The value of the header `Host`."""
        self._tls = tls
        self._socket: socket.socket | None = None
        self._arrivals = select.poll()
        self._parser = _Parser()

    def exchange(self, request: bytes, deadlines: Deadlines, largest: int) -> Answer:
        """Sends the request, and returns the answer, of whose body at most `largest` bytes are read.

        Raises Unreachable or NotNow if the request wasn't sent, Garbled or OutcomeUnknown for what can't be read, and
        OSError, of which TimeoutError is one.
        """
        try:
            if self._socket is not None and self._arrivals.poll(0):
                self.close()  # the server has closed it, or sent what nobody asked for
            if self._socket is None:
                self.connect(deadlines)
            self._send(request, deadlines)
            answer = self._read(deadlines, largest)
        except BaseException:
            self.close()
            raise
        if not self._parser.may_go_on:
            self.close()
        return answer

    def connect(self, deadlines: Deadlines) -> None:
        """Makes the connection. Raises Unreachable, of which NotTrusted is one."""
        try:
            seconds = max(0.001, deadlines.connected - time.monotonic())
            self._socket = socket.create_connection(self._address, seconds)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            if self._tls is not None:
                self._socket = self._tls.wrap_socket(self._socket, server_hostname=self._name)
            if time.monotonic() > deadlines.connected:  # each of several addresses has the whole time
                raise TimeoutError("connecting took too long")
        except ssl.SSLCertVerificationError as error:
            raise NotTrusted(f"its certificate isn't trusted: {error.verify_message}") from error
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"no connection: {error}") from error
        self._arrivals = select.poll()
        self._arrivals.register(self._socket, select.POLLIN)
        self._parser = _Parser()

    def close(self) -> None:
        """Closes the connection; the next request makes another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._parser.close()

    def _send(self, request: bytes, deadlines: Deadlines) -> None:
        assert self._socket is not None
        whole = memoryview(request)
        try:
            for at in range(0, len(request), _PIECE):
                # The latest moment to check: without the last piece the server does nothing. A process that was frozen
                # before, say while connecting, must not send that when it wakes up.
                if time.monotonic() > deadlines.leaves:
                    raise NotNow("it is too late to send the request")
                self._socket.settimeout(deadlines.left())
                self._socket.sendall(whole[at : at + _PIECE])
        except BrokenPipeError:
            pass  # the server has answered without reading all of it

    def _read(self, deadlines: Deadlines, largest: int) -> Answer:
        assert self._socket is not None
        parser = self._parser
        parser.begin()
        arrived = 0
        while not parser.is_complete:
            self._socket.settimeout(deadlines.left())  # else it would begin anew with each byte
            data = self._socket.recv(_PIECE)
            if not data:
                if parser.end():
                    break
                raise ConnectionError("the server closed the connection before it had answered")
            parser.feed(data)
            arrived += len(data)
            size = len(parser.answer.body)
            if size > largest or arrived > _HEAD + _FRAMING * size:
                raise _too_large(largest)
        _unpack(parser.answer, largest)
        return parser.answer


def _unpack(answer: Answer, largest: int) -> None:
    """Unpacks the body if it is packed, as conductor-python allows it to be."""
    encoding = answer.headers.get("content-encoding", "").lower()
    if encoding in ("", "identity") or not answer.body:
        return
    if encoding not in ("gzip", "x-gzip"):
        raise Garbled(f"the answer is encoded as {encoding[:20]!r}")
    try:
        with gzip.open(io.BytesIO(answer.body)) as unpacked:
            body = unpacked.read(largest + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Garbled(f"the answer can't be unpacked: {error}") from error
    if len(body) > largest:
        raise _too_large(largest)
    answer.body = bytearray(body)


def _too_large(largest: int) -> Garbled:
    return Garbled(f"the answer has more than {largest // 1024**2} MB")
