"""The client's transport, with bounds: one request a call, and no answer that takes too long or is too large."""

from __future__ import annotations

import http.client
import io
import json
import socket
import time
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import urllib3
from conductor.client.http.rest import ApiException, AuthorizationException, RESTClientObject, RESTResponse

from worker.conductor.errors import ConductorError, Garbled, NotNow, OutcomeUnknown, Unreachable

_PIECE = 64 * 1024
_KEPT_OPEN = 10.0
"""Seconds after which an idle connection isn't used again: a server that closes it just then leaves doubts."""
# An error of TLS isn't one of them: it may come after the request was sent.
_NO_CONNECTION = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.LocationValueError,
    urllib3.exceptions.URLSchemeUnknown,
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one call may take."""

    timeout: float
    """Seconds for the answer, after those for the connection."""
    connect_timeout: float = 3.0
    """Seconds, if `timeout` isn't less."""
    largest_answer: int = 64 * 1024**2
    """Bytes of an answer that are read at most. Conductor keeps up to 10 MB of a payload in place."""

    @property
    def to_connect(self) -> float:
        """Seconds for the connection."""
        return min(self.connect_timeout, self.timeout)


@dataclass(slots=True)
class _Limits:
    """Until when, by `time.monotonic`, the call at hand must be connected, have left, and be answered to the end."""

    connected: float = float("inf")
    leaves: float = float("inf")
    answered: float = float("inf")

    def left(self) -> float:
        """Seconds for the answer. Raises TimeoutError if there are none."""
        left = self.answered - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes longer than BRIDGE_CALL_TIMEOUT")
        return left


class _Timed(io.RawIOBase):
    """Reads from a socket whose time-out shrinks meanwhile: left alone, it would begin anew with every byte."""

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
        # `detach` is BufferedReader's, which a socket's makefile("rb") is.
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, limits))


class Connection(urllib3.connection.HTTPConnection):
    """One on which nothing is waited for, and nothing sent, beyond the limits."""

    def __init__(self, *given: Any, limits: _Limits, **named: Any):
        super().__init__(*given, **named)
        self.limits = limits
        self.response_class = partial(_Response, limits)  # type: ignore[assignment]

    def connect(self) -> None:
        super().connect()
        if time.monotonic() > self.limits.connected:  # of several addresses, each is given the time-out
            self.close()
            raise urllib3.exceptions.ConnectTimeoutError("connecting took too long")

    def request(self, *given: Any, **named: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(self.limits.left())
        super().request(*given, **named)

    def send(self, data: Any) -> None:
        # The latest moment to check: first the head is sent, then the body, without which the server does nothing. A
        # process that was frozen before, while it connected for example, must not send it as it wakes.
        if time.monotonic() > self.limits.leaves:
            raise NotNow("too late to send it under this claim")
        super().send(data)


class _TlsConnection(Connection, urllib3.connection.HTTPSConnection):
    """The order of the bases matters: what Connection calls its base is then HTTPSConnection."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Transport(RESTClientObject):  # type: ignore[misc]
    """The client's transport, with one request for one call.

    The client's own repeats a GET whose connection broke, so that a lost poll would go unnoticed, and connects up to
    four times, so that a request could leave long after the claim that it was made under.
    """

    def __init__(self, bounds: Bounds):
        self._bounds = bounds
        self._limits = _Limits()
        self._patience = float("inf")
        self._used = 0.0
        self.last: tuple[int, ConductorError | None] = (0, None)
        """The last answer's status, 0 without one, and why there was none."""
        # urllib3 costs two thirds of the processor time of httpx, which is the client's own choice.
        self._pool = urllib3.PoolManager(
            num_pools=1, retries=False, timeout=urllib3.Timeout(connect=bounds.to_connect, read=bounds.timeout)
        )
        self._pool.pool_classes_by_scheme = {
            "http": partial(_Pool, limits=self._limits),  # type: ignore[dict-item]
            "https": partial(_TlsPool, limits=self._limits),  # type: ignore[dict-item]
        }
        super().__init__(self._pool)
        self._owns_connection = False

    def limit(self, not_after: float, patience: float) -> None:
        """The next requests leave before `not_after` by `time.monotonic`, or not at all; the answer to each is waited
        for no longer than `patience` seconds."""
        self._limits.leaves, self._patience = not_after, patience

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
        """One request. Raises ApiException for an answer that isn't 2xx, Unreachable, NotNow or OutcomeUnknown."""
        if query_params:
            url += "?" + urlencode(query_params)
        content = None if method == "GET" else _content(body)
        now = time.monotonic()
        if now - self._used > _KEPT_OPEN:
            self._pool.clear()
        self._used = now
        self._limits.connected = now + self._bounds.to_connect
        self._limits.answered = now + min(self._bounds.timeout, self._patience)
        try:
            response = self._pool.request(method, url, body=content, headers=headers, preload_content=False)
            text = bytearray()
            while chunk := response.read1(_PIECE):  # without a size, an answer that breaks off passes for a whole one
                text += chunk
                if len(text) > self._bounds.largest_answer:
                    response.close()
                    largest = self._bounds.largest_answer // 1024**2
                    raise self._no_answer(Garbled(f"the answer has more than {largest} MB"))
            response.release_conn()
        except _NO_CONNECTION as error:
            raise self._no_answer(Unreachable(f"no connection: {error}")) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._no_answer(OutcomeUnknown(f"{type(error).__name__}: {error}")) from error
        self.last = response.status, None
        answer = RESTResponse(
            SimpleNamespace(
                status_code=response.status,
                reason_phrase=response.reason,
                headers=response.headers,
                text=self._decoded(response.status, text),
            )
        )
        if answer.status in (401, 403):
            raise AuthorizationException(http_resp=answer)
        if not 200 <= answer.status <= 299:
            raise ApiException(http_resp=answer)
        return answer

    def _decoded(self, status: int, text: bytearray) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            if 200 <= status <= 299:  # replacing what can't be read would change what a task matches
                raise self._no_answer(Garbled(f"the answer isn't UTF-8: {error.reason}")) from error
            return text.decode("utf-8", "replace")

    def _no_answer(self, error: ConductorError) -> ConductorError:
        self.last = 0, error
        return error


def _content(body: Any) -> bytes:
    """A request's body as it is sent."""
    text = body if isinstance(body, str) else json.dumps({} if body is None else body)
    return text.encode("utf-8", "surrogatepass")
