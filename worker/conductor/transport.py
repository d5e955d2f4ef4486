"""How the requests of Conductor's own client are sent: over our connections, each once, its answer
bounded."""

from __future__ import annotations

import io
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import urllib3
from conductor.client.http.rest import (
    ApiException,
    AuthorizationException,
    RESTClientObject,
    RESTResponse,
)
from urllib3.exceptions import DecodeError, HTTPError, SSLError

from worker.conductor.connections import Call, connections, current
from worker.conductor.errors import ConductorError, Garbled, OutcomeUnknown, Unreachable
from worker.conductor.server import Server

_TO_CONNECT = 3.0
"""Seconds for the connection to each of the server's addresses, if the call has as many left."""


@dataclass
class _Response:
    """A complete answer, with the attributes of httpx's that Conductor's client uses."""

    status_code: int
    reason_phrase: str | None
    headers: Mapping[str, str]
    """Whatever the case of their names."""
    text: str


class Transport(RESTClientObject):  # type: ignore[misc]
    """What the client sends its requests by. Its own would repeat a GET whose connection broke, and
    has no deadline for a whole call."""

    def __init__(self, server: Server):
        super().__init__(connection=server)  # without one it would open its own
        self._server = server

    def request(
        self,
        method: str,
        url: str,
        query_params: Sequence[tuple[str, Any]] | None = None,
        headers: Mapping[str, str | None] | None = None,
        body: Any = None,
        post_params: object = None,
        _preload_content: bool = True,
        _request_timeout: object = None,
    ) -> RESTResponse:
        """Sends one request of the current call, whose limits hold; a `body` that is a string is
        JSON already.

        Raises AuthorizationException for 401 and 403, unless the request is for a token;
        ApiException for any other answer that isn't 2xx; without an answer Unreachable, NotNow,
        Garbled or OutcomeUnknown.
        """
        call = current.get()
        call.requested = False
        # After a failed renewal the token is None.
        sent = {name: value for name, value in (headers or {}).items() if value is not None}
        sent.setdefault("Content-Type", "application/json")
        content = None
        if method != "GET":
            content = _content(body)
            sent["Content-Length"] = str(len(content))
        try:
            found = self._connections.urlopen(
                method,
                f"{url}?{urlencode(query_params)}" if query_params else url,
                headers=sent,
                body=None if content is None else io.BytesIO(content),  # is sent in pieces
                timeout=urllib3.Timeout(connect=min(_TO_CONNECT, call.seconds_left()), read=None),
                redirect=False,
                preload_content=False,
            )
            try:
                text = _text(found, call.largest)
            except BaseException:
                found.close()
                raise
        except (HTTPError, OSError) as error:
            raise _failure(error, call) from error
        answer = RESTResponse(_Response(found.status, found.reason, found.headers, text))
        # This error may make the client ask for a token: without end, if a token is what was
        # refused.
        asks_for_token = method == "POST" and url.endswith("/token")
        if answer.status in (401, 403) and not asks_for_token:
            raise AuthorizationException(http_resp=answer)
        if not 200 <= answer.status <= 299:
            raise ApiException(http_resp=answer)
        return answer

    @cached_property
    def _connections(self) -> urllib3.PoolManager:
        return connections(self._server)


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
    """The answer's body. Raises Garbled for one that is too large, and a successful one that isn't
    UTF-8."""
    if answer.status < 200:
        # That one follows: it must not be the next request's.
        raise Garbled(f"status {answer.status} is no answer")
    body = answer.read(largest + 1)
    if len(body) > largest:
        raise Garbled(f"the answer has more than {largest // 1024**2} MB")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        # Replacing unreadable characters would change what a task matches.
        if 200 <= answer.status <= 299:
            raise Garbled(f"the answer isn't UTF-8: {error.reason}") from error
        return body.decode("utf-8", "replace")


def _content(body: Any) -> bytes:
    """A request's body as sent."""
    if body is None:
        return b"{}"
    text = body if isinstance(body, str) else json.dumps(body)
    return text.encode("utf-8", "surrogatepass")
