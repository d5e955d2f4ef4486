"""The HTTP edge: Flask's views. All decisions are made elsewhere."""

from __future__ import annotations

import errno
import threading
import time
from contextlib import suppress

from flask import Blueprint, Flask, request
from flask import Response as FlaskResponse
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from platforms.http import Response, error_response, json_response
from relay import metrics
from relay.concurrency import alarm, run_in_thread, take_turns
from relay.http.bodies import Bodies, discard
from relay.http.incoming import IS_READ, Incoming
from relay.receiver import NOT_FOUND, PATIENCE, UNAVAILABLE, Receiver
from relay.route import CONDUCTORS_PATH, PATH
from relay.waiting.senders import Pending, Waiting, response_to
from store.clock import MonotonicClock
from store.errors import StoreUnavailable
from store.sql.deliveries import Deliveries

_BODY = frozenset({"CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"})
"""A request without both has no body."""
FRESH_FOR = 1.0
"""Seconds for which a result is reused, since a check costs a write."""
_LONGEST_ANSWER = 30.0
"""Seconds that a peer may take to read its answer."""


class Readiness:
    """Whether the store can be written, checked once for all callers at about the same time.
    Thread-safe."""

    def __init__(self, store: Deliveries, patience: float, clock: MonotonicClock = time):
        """A check takes no more than `patience` seconds."""
        self._store = store
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._checked_at = float("-inf")
        self._ready = False

    def __call__(self) -> bool:
        """Whether the store could be written within the last second. Callers during a check wait
        for its result."""
        with self._lock:
            now = self._clock.monotonic()
            if now - self._checked_at >= FRESH_FOR:
                self._ready = False
                try:
                    with suppress(StoreUnavailable):
                        self._store.check_writable(now + self._patience)
                        self._ready = True
                finally:
                    self._checked_at = self._clock.monotonic()
            return self._ready


class _Answer(FlaskResponse):
    default_mimetype = None  # an answer without a body has no type


def webhooks(receiver: Receiver, waiting: Waiting, knows_proxies: bool) -> Blueprint:
    """``/webhook/{id}`` and ``/api/webhook/{id}``. `knows_proxies`: the addresses are the senders'
    own."""
    blueprint = Blueprint("webhooks", __name__)
    bodies = Bodies()

    @blueprint.before_app_request
    def let_others_in() -> None:
        # Whoever sends requests without waiting for answers never has to wait for anything else.
        take_turns()

    @blueprint.endpoint("webhook")
    def webhook(url_id: str, path: str) -> FlaskResponse:
        began = time.perf_counter()
        incoming = Incoming(request.environ, bodies, knows_proxies, path)
        response = receiver.receive(url_id, incoming)
        metrics.observe_request(time.perf_counter() - began)
        if isinstance(response, Pending):
            response = response_to(response.event_id, waiting.wait(response), response.respond)
        return _answer(response)

    @blueprint.after_app_request
    def bound(response: FlaskResponse) -> FlaskResponse:
        """Bounds what follows the answer: how long its peer may take to read it, and to send what
        is left."""
        response.call_on_close(
            alarm(_LONGEST_ANSWER, BrokenPipeError(errno.EPIPE, "the peer reads no answer"))
        )
        environ = request.environ
        if IS_READ not in environ and not _BODY.isdisjoint(environ):
            stream, is_chunked = environ["wsgi.input"], "CONTENT_LENGTH" not in environ
            response.call_on_close(lambda: discard(stream, is_chunked))
        return response

    def add_rules(state: BlueprintSetupState) -> None:
        # For any method: the webhook's route says which are allowed.
        for path in (PATH, CONDUCTORS_PATH):
            rule = Rule(
                f"{path}<path:url_id>",
                endpoint="webhook",
                defaults={"path": path},
                merge_slashes=False,
            )
            state.app.url_map.add(rule)

    blueprint.record_once(add_rules)
    return blueprint


def pages(store: Deliveries, with_metrics: bool) -> Blueprint:
    """The pages besides the webhooks."""
    blueprint = Blueprint("pages", __name__)
    is_ready = Readiness(store, PATIENCE)

    @blueprint.get("/healthz", provide_automatic_options=False)
    def healthz() -> FlaskResponse:
        return _answer(json_response({"status": "ok"}))

    @blueprint.get("/readyz", provide_automatic_options=False)
    def readyz() -> FlaskResponse:
        return _answer(json_response({"status": "ready"}) if is_ready() else UNAVAILABLE)

    if with_metrics:

        @blueprint.get("/metrics", provide_automatic_options=False)
        def metrics_page() -> FlaskResponse:
            return FlaskResponse(
                run_in_thread(metrics.exposition), content_type=metrics.CONTENT_TYPE
            )

    return blueprint


def handle_errors(app: Flask) -> None:
    """Flask's own errors in the same form as all errors."""

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> FlaskResponse:
        status = error.code or 500
        if status == 404:
            return _answer(NOT_FOUND)
        if status >= 500:
            return _answer(UNAVAILABLE)
        code = (error.name or "error").lower().replace(" ", "_").replace("'", "")
        allow = tuple(("Allow", value) for name, value in error.get_headers() if name == "Allow")
        return _answer(error_response(status, code, error.description or error.name, *allow))

    @app.errorhandler(Exception)
    def bug(error: Exception) -> FlaskResponse:
        app.logger.error("a request failed", exc_info=error)
        return _answer(UNAVAILABLE)


def _answer(response: Response) -> FlaskResponse:
    return _Answer(
        response.body, response.status, response.headers, content_type=response.content_type
    )
