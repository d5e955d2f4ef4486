"""The HTTP edge: WSGI in, an answer out. All decisions are made elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask
from flask import Response as FlaskResponse
from werkzeug.exceptions import HTTPException

from platforms.http import Request, Response, error_response, json_response
from relay.background import Background
from relay.concurrency import run_in_thread
from relay.http.forwarded import BY_PROXY
from relay.http.incoming import BodyTooLarge, BodyUnreadable
from relay.http.memory import Overloaded
from relay.http.readiness import Readiness
from relay.receiver import NOT_FOUND, PATIENCE, UNAVAILABLE, Receiver
from relay.reports import metrics
from relay.route import CONDUCTORS_PATH, PATH, Route, with_query
from relay.waiting.answering import response_to
from relay.waiting.senders import Pending, Waiting
from store.sql.deliveries import Deliveries

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

_PIECE = 64 * 1024
_STATUS = {number: f"{number} OK" for number in range(200, 300)} | {
    status.value: f"{status.value} {status.phrase}" for status in HTTPStatus
}
"""`respond` may set any 2xx status, even one without a name."""
_USUAL_NAMES = 1000
_LONGEST_USUAL_NAME = 64
_names = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}
"""Headers: WSGI's name → the name as sent, in lower case."""
_known = set(_names)
"""These, and the other keys of a WSGI environment."""
_HOST = re.compile(r"[A-Za-z0-9._~%:\[\]-]*", re.ASCII)
_BEFORE_PATH = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_AFTER_PATH = re.compile(r"[?#].*\Z", re.DOTALL)
"""What a request may have around the path. It decides nothing about which webhook is called, so a signature that covers
the URL or path must not take it for a part of them."""
_OF_PROXIES = frozenset({"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"})


class WsgiRequest:
    """A `relay.receiver.Incoming` from a WSGI environment."""

    def __init__(self, environ: dict[str, Any], knows_proxies: bool = False, path: str = PATH):
        """`knows_proxies`: only our own proxies' X-Forwarded-For is trusted, so the address is the sender's. `path`:
        which of the relay's two paths was used."""
        self._environ = environ
        self.path = path
        self.method: str = environ["REQUEST_METHOD"]
        remote: str = environ.get("REMOTE_ADDR", "")
        # How a listener on IPv6 sees an IPv4 address.
        self.remote = (remote.removeprefix("::ffff:") if "." in remote else remote) or None
        self.sender = self.remote if knows_proxies or _OF_PROXIES.isdisjoint(environ) else None

    @property
    def query(self) -> str:
        """Raw, as in the URL."""
        query: str = self._environ.get("QUERY_STRING", "")
        return query

    @property
    def wants_page(self) -> bool:
        """Whether a person's browser asks."""
        return "text/html" in self._environ.get("HTTP_ACCEPT", "")

    def read(self, max_body: int) -> bytes:
        """The body; reads no further than needed to know that it is too large. Raises BodyTooLarge, BodyUnreadable or
        Overloaded."""
        environ = self._environ
        length = environ.get("CONTENT_LENGTH")
        if not length:
            expected = max_body + 1 if environ.get("wsgi.input_terminated") else 0
        elif not (length.isascii() and length.isdigit()):
            raise BodyUnreadable
        else:
            expected = int(length[:20])
            if expected > max_body:
                raise BodyTooLarge
        connection = environ.get("gunicorn.socket")
        try:
            body = self._read(environ["wsgi.input"], expected, connection if not length else None)
        except Overloaded:
            raise
        except Exception as error:  # the server's parser and the socket each raise their own exceptions
            raise BodyUnreadable from error
        if len(body) > max_body:
            raise BodyTooLarge
        if length and len(body) != expected:
            raise BodyUnreadable
        if length and connection is not None:
            connection.body_is_read()
        return body

    def _read(self, stream: Any, most: int, chunked: Any) -> bytes:
        """What arrives, up to `most` bytes; `chunked` is the `relay.http.connection.Connection` of a chunked body."""
        if most <= _PIECE and chunked is None:
            body: bytes = stream.read(most)
            return body
        pieces = bytearray()
        while left := min(_PIECE, most - len(pieces)):
            if chunked is not None:
                chunked.expect(left)
            piece = stream.read(left)
            if not piece:
                break
            pieces += piece
        return bytes(pieces)

    def request(self, route: Route, body: bytes) -> Request:
        """The request in the form that verification expects."""
        environ = self._environ
        query = environ.get("QUERY_STRING", "")
        url = with_query(route.public_url(self.path) or self.seen_url(), query)
        by_proxy = environ.get(BY_PROXY, False)
        return Request(self.method, url, query, _headers(environ), body, self.remote, time.time(), by_proxy)

    def waiting(self, gone: Callable[[], None]) -> AbstractContextManager[None]:
        """Implements `relay.waiting.senders.Peer`."""
        connection = self._environ.get("gunicorn.socket")
        return nullcontext() if connection is None else connection.waiting(gone)

    def hold(self, size: int) -> None:
        """Records the bytes of an answer that others made. Raises Overloaded if there is no room for them."""
        connection = self._environ.get("gunicorn.socket")
        if connection is not None:
            connection.hold(size)

    def seen_url(self) -> str:
        """The URL as it was called, without the query."""
        environ = self._environ
        host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
        if not _HOST.fullmatch(host):  # no part of the path, for signatures that cover the URL
            host = "invalid"
        called = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
        path = _BEFORE_PATH.sub("", _AFTER_PATH.sub("", called))
        return f"{environ.get('wsgi.url_scheme', 'http')}://{host}{environ.get('SCRIPT_NAME', '')}{path}"


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    """Lower-case name → value."""
    names = _names if _known.issuperset(environ) else _names_in(environ)
    keys = [*filter(names.__contains__, environ)]
    headers = dict(zip(map(names.__getitem__, keys), map(environ.__getitem__, keys), strict=True))
    for name in ("content-type", "content-length"):
        if not headers.get(name, "there is none"):
            del headers[name]
    return headers


def _names_in(environ: dict[str, Any]) -> dict[str, str]:
    """Like `_names`, for an environment with unknown keys. Those of ordinary length become known."""
    names: dict[str, str] = {}
    for key in environ:
        name = _names.get(key) or (key[5:].replace("_", "-").lower() if key.startswith("HTTP_") else None)
        if name is not None:
            names[key] = name
        if len(key) <= _LONGEST_USUAL_NAME and len(_known) < _USUAL_NAMES:  # senders choose the names
            _known.add(key)
            if name is not None:
                _names[key] = name
    return names


class WebhookEndpoint:
    """Answers ``/webhook/{id}`` and ``/api/webhook/{id}`` itself, and leaves every other path to Flask.

    Flask's context, request object and routing would take a third of a delivery's time.
    """

    def __init__(
        self,
        receiver: Receiver,
        waiting: Waiting,
        others: WSGIApplication,
        background: Background | None,
        knows_proxies: bool = False,
    ):
        """`background` is started at the first request, unless the server started it after its fork. `knows_proxies`:
        the addresses are the senders' own."""
        self._receiver = receiver
        self._waiting = waiting
        self._others = others
        self._knows_proxies = knows_proxies
        self._background = background

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        prefix = PATH if path.startswith(PATH) else CONDUCTORS_PATH
        if not path.startswith(prefix):
            return self._others(environ, start_response)
        if self._background is not None:
            self._background.start()
            self._background = None
        began = time.perf_counter()
        rest = path[len(prefix) :]
        if not rest.isascii():  # WSGI decodes paths as Latin-1
            rest = rest.encode("latin-1", "replace").decode("utf-8", "replace")
        request = WsgiRequest(environ, self._knows_proxies, prefix)
        response = self._receiver.receive(rest, request)
        metrics.observe_request(time.perf_counter() - began)
        if isinstance(response, Pending):
            response = self._wait(response, request)
        return send(response, environ, start_response)

    def _wait(self, pending: Pending, request: WsgiRequest) -> Response:
        response = response_to(pending.event_id, self._waiting.wait(pending, request), pending.respond)
        try:
            request.hold(len(response.body))
        except Overloaded:  # too many large ones are being sent; whoever asks again gets it then
            response = response_to(pending.event_id, None, pending.respond)
        return response


def send(response: Response, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Sends the response through WSGI."""
    headers = list(response.headers)
    if response.content_type is not None:
        headers += (("Content-Type", response.content_type), ("Content-Length", str(len(response.body))))
    start_response(_STATUS[response.status], headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]


def pages(store: Deliveries, with_metrics: bool) -> Blueprint:
    """The pages besides the webhooks."""
    blueprint = Blueprint("relay", __name__)
    is_ready = Readiness(store, PATIENCE)

    @blueprint.get("/healthz", provide_automatic_options=False)
    def healthz() -> FlaskResponse:
        return _flask(json_response({"status": "ok"}))

    @blueprint.get("/readyz", provide_automatic_options=False)
    def readyz() -> FlaskResponse:
        return _flask(json_response({"status": "ready"}) if is_ready() else UNAVAILABLE)

    if with_metrics:

        @blueprint.get("/metrics", provide_automatic_options=False)
        def metrics_page() -> FlaskResponse:
            return FlaskResponse(run_in_thread(metrics.exposition), content_type=metrics.CONTENT_TYPE)

    return blueprint


def handle_errors(app: Flask) -> None:
    """Flask's own errors in the same form as all errors."""

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> FlaskResponse:
        status = error.code or 500
        if status == 404:
            return _flask(NOT_FOUND)
        code = (error.name or "error").lower().replace(" ", "_").replace("'", "")
        if status >= 500:
            return _flask(UNAVAILABLE)
        allow = tuple(("Allow", value) for name, value in error.get_headers() if name == "Allow")
        return _flask(error_response(status, code, error.description or error.name, *allow))

    @app.errorhandler(Exception)
    def bug(error: Exception) -> FlaskResponse:
        app.logger.error("a request failed", exc_info=error)
        return _flask(UNAVAILABLE)


def _flask(response: Response) -> FlaskResponse:
    return FlaskResponse(response.body, response.status, dict(response.headers), content_type=response.content_type)
