"""One call to Conductor's HTTP API: plain values in, plain values out."""

from __future__ import annotations

import io
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import DecodeError, HTTPError, SSLError
from urllib3.util import parse_url

from store.clock import ServerClock, SteadyClock
from store.sql.database import Clock
from worker.conductor.connections import Call, connections, current, of_user
from worker.conductor.errors import (
    ConductorError,
    Garbled,
    OutcomeUnknown,
    Response,
    Unreachable,
    answered,
)
from worker.conductor.server import Server

if TYPE_CHECKING:
    from worker.conductor.tokens import Tokens

LARGEST_ANSWER = 64 * 1024**2
"""Bytes of an answer that are read at most. Conductor returns up to 10 MB of payload inline."""
_TO_CONNECT = 3.0
"""Seconds for the connection to each of the server's addresses, if the call has as many left."""
_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip",
    "Content-Type": "application/json",
    "User-Agent": "conductor-webhook-bridge",
}
_NONE: Mapping[str, str] = {}


class Api:
    """Calls one server, from any number of threads. A failed call raises a ConductorError of the right kind."""

    def __init__(self, server: Server, timeout: float, clock: Clock | SteadyClock):
        self.timeout = timeout
        self.clock = clock
        self.server_clock = ServerClock()
        self._server = server

    def call(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None = None,
        query: Sequence[tuple[str, Any]] = (),
        body: Any = None,
        *,
        not_after: float = float("inf"),
        patience: float = float("inf"),
        largest: int | None = None,
    ) -> Any:
        """The answer. The request leaves before `not_after` (`time.monotonic`), or not at all: then NotNow is raised.

        `patience`: seconds to wait for the answer, if less than the time-out. `largest`: bytes that the answer may
        have, if fewer than usual; beyond it Garbled is raised. A `body` that is a string is JSON already.
        """
        sent = self.clock.now()
        target = path
        for name, value in (parameters or {}).items():
            target = target.replace(f"{{{name}}}", quote(value, safe=""))
        if query:
            target += "?" + urlencode(query)
        seconds = min(self.timeout, patience)
        current.set(Call(not_after, seconds, time.monotonic() + seconds))
        try:
            answer = self._send(method, target, body, largest or LARGEST_ANSWER)
            if self._tokens is not None and self._tokens.renewed(answer):
                answer = self._send(method, target, body, largest or LARGEST_ANSWER)
        except ConductorError:
            raise
        except Exception as error:  # a bug here or in a library, or an answer that it can't read
            raise OutcomeUnknown(f"{type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise answered(answer, f"{method} {path}")
        self._observe_date(answer.headers, sent)
        if answer.headers.get("content-type", "").startswith("text/plain"):  # an id
            return answer.text
        try:
            return json.loads(answer.text)
        except (ValueError, RecursionError):  # an id all the same
            return answer.text

    def _send(self, method: str, target: str, body: Any, largest: int) -> Response:
        token = {} if self._tokens is None else self._tokens.headers()
        return self.send(method, target, body, token, largest)

    def send(
        self, method: str, target: str, body: Any, token: Mapping[str, str] = _NONE, largest: int = LARGEST_ANSWER
    ) -> Response:
        """Sends one request of the current call. `target`: its path, below the API's, and query.

        Raises Unreachable, NotNow, Garbled or OutcomeUnknown.
        """
        headers = {**self._headers, **token}
        content = None if method == "GET" else _content(body)
        if content is not None:
            headers["Content-Length"] = str(len(content))
        call = current.get()
        call.requested = False
        try:
            found = self._connections.urlopen(
                method,
                f"{self._url}{target}",
                headers=headers,
                body=None if content is None else io.BytesIO(content),  # is sent in pieces
                timeout=urllib3.Timeout(connect=min(_TO_CONNECT, call.seconds_left()), read=None),
                redirect=False,
                preload_content=False,
            )
            try:
                return Response(found.status, found.reason, found.headers, _text(found, largest))
            except BaseException:
                found.close()
                raise
        except (HTTPError, OSError) as error:
            raise _failure(error, call) from error

    @cached_property
    def _url(self) -> str:
        return parse_url(self._server.url.rstrip("/"))._replace(auth=None).url

    @cached_property
    def _headers(self) -> dict[str, str]:
        return _HEADERS | of_user(self._server.url)

    @cached_property
    def _tokens(self) -> Tokens | None:
        key, secret = self._server.key, self._server.secret
        if not (key and secret):
            return None
        from worker.conductor.tokens import Tokens

        return Tokens(self.send, self._url, key, secret)

    @cached_property
    def _connections(self) -> urllib3.PoolManager:
        return connections(self._server)

    def _observe_date(self, headers: Mapping[str, str], sent: float) -> None:
        """A rough bound on the clocks' offset, from any answer: for servers whose tasks are never polled."""
        with suppress(TypeError, ValueError):  # no date, or none that can be read
            seconds = parsedate_to_datetime(headers.get("date", "")).timestamp()
            # Whole seconds, in a header that servers update once a second.
            self.server_clock.observe(seconds * 1000, sent, self.clock.now(), precision=2000)


def _failure(error: Exception, call: Call) -> ConductorError:
    """What it means that a request has no complete answer."""
    cause = error.args[0] if isinstance(error, SSLError) and error.args else error
    text = " ".join(map(str, error.args)) or type(error).__name__
    if not call.requested:
        if isinstance(cause, ssl.SSLCertVerificationError):
            remedy = "renew it, or let SSL_CERT_FILE name a file with its authority's certificate"
            return Unreachable(f"its certificate isn't trusted: {cause.verify_message} ({remedy})")
        return Unreachable(f"no connection: {text}")
    if isinstance(error, DecodeError):
        return Garbled(f"the answer can't be unpacked: {text}")
    if time.monotonic() >= call.ends:
        return OutcomeUnknown(f"Conductor gave no complete answer within {call.seconds:.3g} s")
    return OutcomeUnknown(text)


def _text(answer: urllib3.BaseHTTPResponse, largest: int) -> str:
    """The answer's body. Raises Garbled for one that is too large, and a successful one that isn't UTF-8."""
    if answer.status < 200:
        raise Garbled(f"status {answer.status} is no answer")  # that one follows: it must not be the next request's
    body = answer.read(largest + 1)
    if len(body) > largest:
        raise Garbled(f"the answer has more than {largest // 1024**2} MB")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        if 200 <= answer.status <= 299:  # replacing unreadable characters would change what a task matches
            raise Garbled(f"the answer isn't UTF-8: {error.reason}") from error
        return body.decode("utf-8", "replace")


def _content(body: Any) -> bytes:
    """A request's body as sent."""
    text = body if isinstance(body, str) else json.dumps({} if body is None else body)
    return text.encode("utf-8", "surrogatepass")
