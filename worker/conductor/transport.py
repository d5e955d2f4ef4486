"""The client's transport, with bounds: one request per call, and no answer that takes too long or is too large."""

from __future__ import annotations

import http.client
import io
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import urllib3
from conductor.client.http.rest import ApiException, AuthorizationException, RESTClientObject, RESTResponse

from worker.conductor.bounds import Bounds
from worker.conductor.errors import ConductorError, Garbled, NotNow, OutcomeUnknown, Unreachable

_PIECE = 64 * 1024
_KEPT_OPEN = 10.0
"""Seconds after which an idle connection isn't reused: if the server closed it just then, the outcome would be
unknown."""
# A TLS error isn't one of them: it may occur after the request was sent.
_NO_CONNECTION = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.LocationValueError,
    urllib3.exceptions.URLSchemeUnknown,
)


_ONCE = urllib3.Retry(False)
_TRUST_EVERY = 10.0
"""Seconds after which a thread that can't connect by TLS reads the authorities' certificates again."""


def tls_context() -> ssl.SSLContext:
    """What TLS needs, for any number of connections and threads: reading the authorities' certificates takes 30 ms of
    processor time."""
    context = urllib3.util.create_urllib3_context()
    context.load_default_certs()
    return context


@dataclass
class Response:
    """A complete answer, with the attributes from which the client's `RESTResponse` is made."""

    status_code: int
    reason_phrase: str
    headers: Mapping[str, str]
    text: str


@dataclass(slots=True)
class _Limits:
    """Deadlines (`time.monotonic`) by which the current call must be connected, sent, and fully answered."""

    connected: float = float("inf")
    leaves: float = float("inf")
    answered: float = float("inf")

    def left(self) -> float:
        """Seconds left for the answer. Raises TimeoutError if there are none."""
        left = self.answered - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Timed(io.RawIOBase):
    """Reads from a socket and shortens its time-out meanwhile; otherwise it would restart with every byte."""

    def __init__(self, raw: Any, sock: socket.socket, limits: _Limits):
        self._raw = raw
        self._sock = sock
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._limits.left())
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, limits: _Limits, sock: socket.socket, *given: Any, **named: Any):
        super().__init__(sock, *given, **named)
        # `detach` is a method of BufferedReader, which a socket's makefile("rb") returns.
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, limits))


class Connection(urllib3.connection.HTTPConnection):
    """A connection that neither waits nor sends beyond the limits."""

    def __init__(self, *given: Any, limits: _Limits, **named: Any):
        super().__init__(*given, **named)
        self.limits = limits
        self.response_class = partial(_Response, limits)  # type: ignore[assignment]

    def connect(self) -> None:
        super().connect()
        if time.monotonic() > self.limits.connected:  # each of several addresses gets the whole time-out
            self.close()
            raise urllib3.exceptions.ConnectTimeoutError("connecting took too long")

    def request(self, *given: Any, **named: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(self.limits.left())
        super().request(*given, **named)

    def send(self, data: Any) -> None:
        # The latest moment to check: the head is sent first, then the body, if any, without which the server does
        # nothing. A process that was frozen before, say while connecting, must not send the last part when it wakes up.
        if self.sock is None:
            self.connect()
        if time.monotonic() > self.limits.leaves:
            raise NotNow("it is too late to send the request")
        super().send(data)


class _TlsConnection(Connection, urllib3.connection.HTTPSConnection):
    """The order of the bases matters: it makes HTTPSConnection the base that Connection calls."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Transport(RESTClientObject):  # type: ignore[misc]
    """The client's transport, with exactly one request per call.

    The client's own transport repeats a GET whose connection broke, so a lost poll would go unnoticed. It also connects
    up to four times, so a request could leave long after its claim was made.
    """

    def __init__(self, url: str, bounds: Bounds, tls: ssl.SSLContext | None):
        """`url` is the API's; `tls` is for one with https."""
        self._url = url
        self._tls = tls
        self._trusted_at = float("-inf")
        """When the authorities were last read again."""
        self._bounds = bounds
        self._limits = _Limits()
        self._patience = float("inf")
        self._largest = bounds.largest_answer
        self._used = 0.0
        self.last: tuple[int, ConductorError | None] = (0, None)
        """The last answer's status, 0 if there was none, and why there was none."""
        # urllib3 takes two thirds of the CPU time of httpx, which the client uses by default.
        self._pools = urllib3.PoolManager(
            num_pools=1,
            timeout=urllib3.Timeout(connect=bounds.to_connect, read=bounds.timeout),
            ssl_context=tls,
        )
        self._pools.pool_classes_by_scheme = {
            "http": partial(_Pool, limits=self._limits),  # type: ignore[dict-item]
            "https": partial(_TlsPool, limits=self._limits),  # type: ignore[dict-item]
        }
        self._pool: urllib3.HTTPConnectionPool | None = None
        """The API's; found once, as that takes as long as sending a request."""
        super().__init__(self._pools)
        self._owns_connection = False

    def limit(self, not_after: float, patience: float, largest: int | None = None) -> None:
        """The next requests leave before `not_after` (`time.monotonic`), or not at all; each waits at most `patience`
        seconds for its answer, of which it reads `largest` bytes at most, by default as many as of any answer."""
        self._limits.leaves, self._patience = not_after, patience
        self._largest = self._bounds.largest_answer if largest is None else largest

    def request(
        self,
        method: str,
        url: str,
        query_params: Any = None,
        headers: dict[str, str] | None = None,
        body: Any = None,
        post_params: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> RESTResponse:
        """Sends a request of the client's own. Raises ApiException for a non-2xx answer, and as `send` does."""
        target = urllib3.util.parse_url(url).request_uri
        if query_params:
            target += "?" + urlencode(query_params)
        return RESTResponse(self.send(method, target, headers or {}, body))

    def send(self, method: str, target: str, headers: Mapping[str, str], body: Any = None) -> Response:
        """Sends one request for the `target`: path and query. Its body is JSON as text, or is serialized.

        Raises ApiException for a non-2xx answer, Unreachable, NotNow or OutcomeUnknown.
        """
        content = None if method == "GET" else _content(body)
        now = time.monotonic()
        if now - self._used > _KEPT_OPEN:
            self._pools.clear()
            self._pool = None
        self._used = now
        self._limits.connected = now + self._bounds.to_connect
        seconds = min(self._bounds.timeout, self._patience)
        self._limits.answered = now + seconds
        try:
            if self._pool is None:
                self._pool = self._pools.connection_from_url(self._url)
            response = self._pool.urlopen(
                method, target, content, headers, _ONCE, redirect=False, assert_same_host=False, preload_content=False
            )
            text = bytearray()
            while chunk := response.read1(_PIECE):  # without a size, a truncated answer would pass for a complete one
                text += chunk
                if len(text) > self._largest:
                    response.close()
                    largest = self._largest // 1024**2
                    raise self._no_answer(Garbled(f"the answer has more than {largest} MB"))
            response.release_conn()
        except _NO_CONNECTION as error:
            raise self._no_answer(Unreachable(f"no connection: {error}")) from error
        except (urllib3.exceptions.TimeoutError, TimeoutError) as error:
            raise self._no_answer(
                OutcomeUnknown(f"Conductor gave no complete answer within {seconds:.3g} s")
            ) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, urllib3.exceptions.SSLError):
                self._trust_new_authorities(now)
            raise self._no_answer(OutcomeUnknown(f"{type(error).__name__}: {error}")) from error
        self.last = response.status, None
        decoded = self._decoded(response.status, text)
        answer = Response(response.status, response.reason or "", response.headers, decoded)
        if answer.status_code in (401, 403):
            raise AuthorizationException(http_resp=RESTResponse(answer))
        if not 200 <= answer.status_code <= 299:
            raise ApiException(http_resp=RESTResponse(answer))
        return answer

    def _trust_new_authorities(self, now: float) -> None:
        """For the next connections: since the process started, the authorities' file may have been replaced."""
        if self._tls is not None and now - self._trusted_at >= _TRUST_EVERY:
            self._trusted_at = now
            self._tls.load_default_certs()

    def _decoded(self, status: int, text: bytearray) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            if 200 <= status <= 299:  # replacing unreadable characters would change what a task matches
                raise self._no_answer(Garbled(f"the answer isn't UTF-8: {error.reason}")) from error
            return text.decode("utf-8", "replace")

    def _no_answer(self, error: ConductorError) -> ConductorError:
        self.last = 0, error
        return error


def _content(body: Any) -> bytes:
    """A request's body as sent."""
    text = body if isinstance(body, str) else json.dumps({} if body is None else body)
    return text.encode("utf-8", "surrogatepass")
