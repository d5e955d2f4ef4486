"""Requests with bounds: one per call, and no answer that takes too long or is too large."""

from __future__ import annotations

import json
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import responses
from typing import Any
from urllib.parse import unquote

import urllib3

from worker.conductor.bounds import Bounds
from worker.conductor.connection import Answer, Connection, Deadlines
from worker.conductor.errors import ConductorError, Garbled, OutcomeUnknown

_KEPT_OPEN = 10.0
"""Seconds after which an idle connection isn't reused: if the server closed it just then, the outcome would be
unknown."""
_USER_AGENT = "User-Agent: conductor-webhook-bridge"
_TRUST_EVERY = 10.0
"""Seconds after which a thread that can't connect by TLS reads the authorities' certificates again."""


def tls_context() -> ssl.SSLContext:
    """What TLS needs, for any number of connections and threads: reading the authorities' certificates takes 30 ms of
    processor time."""
    context = urllib3.util.create_urllib3_context()
    context.load_default_certs()
    context.set_alpn_protocols(["http/1.1"])
    return context


def of_user(url: str) -> dict[str, str]:
    """The header that carries a URL's user and password, whose characters a URL escapes; none without a user."""
    auth = urllib3.util.parse_url(url).auth
    if auth is None:
        return {}
    user, _, password = map(unquote, auth.partition(":"))
    return {"authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


@dataclass
class Response:
    """A complete answer, with the attributes from which `RESTResponse` of Conductor's client is made."""

    status_code: int
    reason_phrase: str
    headers: Mapping[str, str]
    text: str


class Declined(Exception):
    """The answer isn't 2xx."""

    def __init__(self, answer: Response):
        super().__init__(answer.status_code)
        self.answer = answer


class Transport:
    """One connection, with exactly one request per call.

    The transport of Conductor's client repeats a GET whose connection broke, so a lost poll would go unnoticed. It also
    connects up to four times, so a request could leave long after its claim was made.
    """

    def __init__(self, url: str, bounds: Bounds, tls: ssl.SSLContext | None):
        """`url` is the API's; `tls` is for one with https."""
        self._tls = tls
        self._trusted_at = float("-inf")
        """When the authorities were last read again."""
        self._bounds = bounds
        self._leaves = self._patience = float("inf")
        self._largest = bounds.largest_answer
        self._used = 0.0
        self.last: tuple[int, ConductorError | None] = (0, None)
        """The last answer's status, 0 if there was none, and why there was none."""
        self._connection = Connection(url, tls)

    def __del__(self) -> None:
        """Its thread has ended."""
        if hasattr(self, "_connection"):  # there is none if the URL couldn't be read
            self._connection.close()

    def limit(self, not_after: float, patience: float, largest: int | None = None) -> None:
        """The next requests leave before `not_after` (`time.monotonic`), or not at all; each waits at most `patience`
        seconds for its answer, of which it reads `largest` bytes at most, by default as many as of any answer."""
        self._leaves, self._patience = not_after, patience
        self._largest = self._bounds.largest_answer if largest is None else largest

    def send(self, method: str, target: str, headers: Mapping[str, str], body: Any = None) -> Response:
        """Sends one request for the `target`: path and query. Its body is JSON as text, or is serialized.

        Raises Declined for a non-2xx answer, Unreachable, NotNow or OutcomeUnknown.
        """
        request = self._request(method, target, headers, None if method == "GET" else _content(body))
        now = time.monotonic()
        if now - self._used > _KEPT_OPEN:
            self._connection.close()
        self._used = now
        seconds = min(self._bounds.timeout, self._patience)
        deadlines = Deadlines(now + self._bounds.to_connect, self._leaves, now + seconds)
        try:
            found = self._connection.exchange(request, deadlines, self._largest)
            reason = found.reason or responses.get(found.status, "")
            answer = Response(found.status, reason, found.headers, _text(found))
        except ConductorError as error:
            if isinstance(error.__cause__, ssl.SSLError):
                self._trust_new_authorities(now)
            self.last = 0, error
            raise
        except OSError as error:
            what = f"{type(error).__name__}: {error}"
            if isinstance(error, TimeoutError):
                what = f"Conductor gave no complete answer within {seconds:.3g} s"
            unknown = OutcomeUnknown(what)
            self.last = 0, unknown
            raise unknown from error
        self.last = answer.status_code, None
        if not 200 <= answer.status_code <= 299:
            raise Declined(answer)
        return answer

    def _request(self, method: str, target: str, headers: Mapping[str, str], content: bytes | None) -> bytes:
        """The request as sent."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._connection.host}", _USER_AGENT]
        lines += (f"{name}: {value}" for name, value in headers.items())
        if content is not None:
            lines.append(f"Content-Length: {len(content)}")
        head = "\r\n".join((*lines, "", ""))
        if not head.count("\n") == head.count("\r") == len(lines) + 1:
            raise ValueError("a header has a line break")
        return head.encode("latin-1") + (content or b"")

    def _trust_new_authorities(self, now: float) -> None:
        """For the next connections: since the process started, the authorities' file may have been replaced."""
        if self._tls is not None and now - self._trusted_at >= _TRUST_EVERY:
            self._trusted_at = now
            self._tls.load_default_certs()


def _text(answer: Answer) -> str:
    """The answer's body. Raises Garbled if a successful one isn't UTF-8."""
    try:
        return answer.body.decode()
    except UnicodeDecodeError as error:
        if 200 <= answer.status <= 299:  # replacing unreadable characters would change what a task matches
            raise Garbled(f"the answer isn't UTF-8: {error.reason}") from error
        return answer.body.decode("utf-8", "replace")


def _content(body: Any) -> bytes:
    """A request's body as sent."""
    text = body if isinstance(body, str) else json.dumps({} if body is None else body)
    return text.encode("utf-8", "surrogatepass")
