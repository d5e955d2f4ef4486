"""The edge to HTTP: WSGI in, an answer out. Everything that is decided is decided elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response
from werkzeug.exceptions import HTTPException

from events.store import Deliveries as DeliveryStore
from events.store import StoreUnavailable
from relay import metrics
from relay.receiver import NOT_FOUND, UNAVAILABLE, BodyTooLarge, BodyUnreadable, Receiver
from relay.request import Answer, Request, error_answer, json_answer
from relay.route import PATH, Route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

_PIECE = 64 * 1024
_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_names: dict[str, str] = {}


class WsgiRequest:
    """A `relay.receiver.Incoming` from a WSGI environment."""

    def __init__(self, environ: dict[str, Any]):
        self._environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.remote: str | None = environ.get("REMOTE_ADDR") or None

    def read(self, max_body: int) -> bytes:
        """The body; of one that is too large no more is read than it takes to know. Raises BodyTooLarge or
        BodyUnreadable."""
        environ = self._environ
        stream = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH")
        try:
            if not length:
                return self._read_to_end(stream, max_body) if environ.get("wsgi.input_terminated") else b""
            if not (length.isascii() and length.isdigit()):
                raise BodyUnreadable
            expected = int(length[:20])
            if expected > max_body:
                raise BodyTooLarge
            body: bytes = stream.read(expected)
        except (BodyTooLarge, BodyUnreadable):
            raise
        except Exception as error:  # the server's parser and the socket have errors of their own families
            raise BodyUnreadable from error
        if len(body) != expected:
            raise BodyUnreadable
        return body

    @staticmethod
    def _read_to_end(stream: Any, max_body: int) -> bytes:
        body = bytearray()
        while piece := stream.read(_PIECE):
            body += piece
            if len(body) > max_body:
                raise BodyTooLarge
        return bytes(body)

    def request(self, route: Route, body: bytes) -> Request:
        """The request as verification wants it."""
        environ = self._environ
        query = environ.get("QUERY_STRING", "")
        return Request(
            self.method, route.url(self._seen_url, query), query, _headers(environ), body, self.remote, time.time()
        )

    def _seen_url(self) -> str:
        environ = self._environ
        host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
        path = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
        return (
            f"{environ.get('wsgi.url_scheme', 'http')}://{host}{environ.get('SCRIPT_NAME', '')}{path.partition('?')[0]}"
        )


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    """Lower-case name → value."""
    headers: dict[str, str] = {}
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            headers[_names.get(key) or _name(key)] = value
    for key, name in (("CONTENT_TYPE", "content-type"), ("CONTENT_LENGTH", "content-length")):
        if value := environ.get(key):
            headers[name] = value
    return headers


def _name(key: str) -> str:
    if len(_names) > 1000:  # senders choose names
        _names.clear()
    return _names.setdefault(key, key[5:].replace("_", "-").lower())


class Deliveries:
    """Answers ``/webhook/{id}`` itself, and leaves every other path to Flask.

    Flask's context, request object and routing would cost a third of the time that a delivery takes.
    """

    def __init__(self, receiver: Receiver, others: WSGIApplication, start: Callable[[], None]):
        """`start` starts what runs beside, where the server hasn't done so after its fork."""
        self._receiver = receiver
        self._others = others
        self._start = start

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(PATH):
            return self._others(environ, start_response)
        self._start()
        return Delivery(self._receiver, path[len(PATH) :], environ, start_response)


class Delivery:
    """The answer to a delivery, as WSGI iterates over it.

    It is made up to the commit at once, and the rest when it is asked for: a server that calls the application for
    several requests before it iterates over the answers has them committed together.
    """

    def __init__(self, receiver: Receiver, url_id: str, environ: dict[str, Any], start_response: StartResponse):
        self._began = time.perf_counter()
        self._environ = environ
        self._start_response = start_response
        self._answer: Answer | None = None
        self._steps = receiver.receive(url_id, WsgiRequest(environ))
        self.may_wait = receiver.may_wait(url_id)
        """Whether others had better not wait for it; nothing is done then before it is asked for."""
        if not self.may_wait:
            self._step()

    def _step(self) -> None:
        try:
            next(self._steps)
        except StopIteration as end:
            self._answer = end.value

    def __iter__(self) -> Iterator[bytes]:
        while self._answer is None:
            self._step()
        metrics.observe_request(time.perf_counter() - self._began)
        return iter(send(self._answer, self._environ, self._start_response))

    def close(self) -> None:
        """WSGI's end of every answer, also of one that nobody wanted any more."""
        self._steps.close()


def send(answer: Answer, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """The answer as WSGI wants it."""
    headers = list(answer.headers)
    if answer.content_type is not None:
        headers += (("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body))))
    start_response(_STATUS[answer.status], headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]


def pages(store: DeliveryStore, with_metrics: bool) -> Blueprint:
    """The pages beside the webhooks."""
    blueprint = Blueprint("relay", __name__)

    @blueprint.get("/healthz", provide_automatic_options=False)
    def healthz() -> Response:
        return _response(json_answer({"status": "ok"}))

    @blueprint.get("/readyz", provide_automatic_options=False)
    def readyz() -> Response:
        try:
            store.check_writable()
        except StoreUnavailable:
            return _response(UNAVAILABLE)
        return _response(json_answer({"status": "ready"}))

    if with_metrics:

        @blueprint.get("/metrics", provide_automatic_options=False)
        def metrics_page() -> Response:
            return Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE)

    return blueprint


def handle_errors(app: Flask) -> None:
    """Every error of Flask's own in the form that all errors have."""

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        if status == 404:
            return _response(NOT_FOUND)
        code = (error.name or "error").lower().replace(" ", "_").replace("'", "")
        if status >= 500:
            return _response(UNAVAILABLE)
        allow = tuple(("Allow", value) for name, value in error.get_headers() if name == "Allow")
        return _response(error_answer(status, code, error.description or error.name, *allow))

    @app.errorhandler(Exception)
    def bug(error: Exception) -> Response:
        app.logger.error("a request failed", exc_info=error)
        return _response(UNAVAILABLE)


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), content_type=answer.content_type)
