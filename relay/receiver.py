"""What becomes of a request: the HTTP contract, from the first check to the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

import structlog

from config.webhooks import Webhook
from platforms.base import Accepted
from platforms.bodies import BadBody, Body, UnreadableMediaType
from platforms.http import Request, Response, error_response, json_response
from platforms.verifiers import KeysUnavailable, Refused
from relay.admission import Admission
from relay.log_throttle import LogThrottle
from relay.memory import MEMORY, Overloaded, Turn
from relay.outcomes import Outcomes
from relay.payload import PayloadTooLarge
from relay.route import Route
from relay.verification import Key, VerifiedDelivery, VerifiedWebhooks
from store.errors import StoreUnavailable
from store.protocols import Store
from store.records import Committed, Rejection
from store.tracing import Span, span

RETRY_AFTER = 10
"""Seconds after which a sender may try again when the store, or a vendor's key, couldn't be had."""

PATIENCE = 2.2
"""Seconds after the arrival of its last byte in which a delivery is stored, or answered 503: Slack and others want an
answer within three, and what was ready before it has its turn first."""

_LONGEST_REASON = 500
_LONGEST_ADDRESS = 100

NOT_FOUND = error_response(404, "not_found", "there is nothing at this URL")
UNAUTHORIZED = error_response(401, "unauthorized", "the delivery could not be verified")
FORBIDDEN = error_response(403, "forbidden", "not allowed")
UNAVAILABLE = error_response(
    503, "unavailable", "the delivery can't be stored now; send it again", ("Retry-After", str(RETRY_AFTER))
)
GONE = error_response(
    503, "unavailable", "this webhook can't be used now; send it again", ("Retry-After", str(RETRY_AFTER))
)
_GONE_FOR = 60.0
"""Seconds for which a webhook that has gone from the definitions is answered so."""


class BodyTooLarge(Exception):
    """The body is larger than the webhook takes."""


class BodyUnreadable(Exception):
    """The body broke off, came in no valid form, or took too long."""


class _MethodNotAllowed(Exception):
    pass


class _NotAdmitted(Refused):
    """The address may not post. That proves and disproves nothing."""


class _TooMany(Exception):
    def __init__(self, seconds: int):
        super().__init__(seconds)
        self.seconds = seconds


class Incoming(Protocol):
    """A request whose body has not been read yet."""

    method: str
    remote: str | None
    sender: str | None
    """The same, where it is the sender's own and not that of a proxy that isn't named."""

    def read(self, max_body: int) -> bytes:
        """The body. Raises BodyTooLarge, BodyUnreadable or Overloaded."""

    def request(self, route: Route, body: bytes) -> Request:
        """All of it."""


def _webhooks(routes: Mapping[str, Route]) -> dict[Key, Webhook]:
    return {route.key: route.webhook for route in routes.values()}


class Receiver:
    """Receives for every webhook; `routes` is replaced as a whole when the definitions change."""

    def __init__(
        self,
        store: Store,
        routes: Mapping[str, Route],
        outcomes: Outcomes,
        admission: Admission | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """`clock` gives seconds, from any time on."""
        self._store = store
        self._deliveries = store.deliveries
        self._outcomes = outcomes
        self._admission = admission or Admission()
        self._throttle = LogThrottle()
        self.verified = VerifiedWebhooks(store.verifications, _webhooks(routes))
        self._routes = routes
        self._clock = clock
        self._gone: dict[str, float] = {}
        self.unavailable: frozenset[str] = frozenset()
        """Last parts of the URLs of webhooks that are defined and can't be in force for now."""

    @property
    def routes(self) -> Mapping[str, Route]:
        """Last part of the URL → route."""
        return self._routes

    @routes.setter
    def routes(self, routes: Mapping[str, Route]) -> None:
        now = self._clock()
        gone = {url_id: until for url_id, until in self._gone.items() if until > now}
        gone |= dict.fromkeys(self._routes, now + _GONE_FOR)
        self._gone = {url_id: until for url_id, until in gone.items() if url_id not in routes}
        self._routes = routes
        self.verified.replace(_webhooks(routes))

    def receive(self, url_id: str, incoming: Incoming) -> Response:
        """A request for ``/webhook/{url_id}``, from look-up to answer: always one, whatever was sent."""
        route = self._routes.get(url_id)
        if route is None:
            return self._unknown(url_id)
        try:
            request = self._read(route, incoming)
            until = time.monotonic() + PATIENCE
            with MEMORY.turn(len(request.body)) as turn, self._span(route, request) as receiving:
                if challenge := route.challenge(request):
                    # Anybody may ask: where there is a secret, only who has it verifies.
                    return self._challenged(route, request, challenge, route.verification.needs_challenge, until)
                delivery, body = self._verify(route, incoming, request, turn, until)
                if challenge := route.signed_challenge(body):
                    self._admission.left_nothing(route.webhook.name, route.webhook.accept)
                    return self._challenged(route, request, challenge, True, until)
                events = route.parser.events(delivery, body, self._store.now())
                if receiving.traceparent is not None:
                    # What the worker does for the event belongs to this span.
                    traced = {"traceparent": receiving.traceparent}
                    events = [replace(event, headers=event.headers | traced) for event in events]
                if route.only is not None:
                    events, reasons = route.only.sort(events)
                    self._filtered(route, incoming, reasons)
                    if reasons and not events:
                        return self._nothing_stored(route, delivery, body.value, until)
                committed = self._deliveries.append(events, until) if events else []
                receiving.set(events=len(committed))
                return self._accepted(route, delivery, body.value, committed, until)
        except Exception as error:
            return self._failed(route, incoming, error)

    def _unknown(self, url_id: str) -> Response:
        """No such webhook; of one that has just gone, half a file may be to blame, so its sender is to try again."""
        if url_id in self.unavailable or self._gone.get(url_id, 0.0) > self._clock():
            self._outcomes.count("", "unknown", 503)
            return GONE
        self._outcomes.count("", "unknown", 404)
        return NOT_FOUND

    def _span(self, route: Route, request: Request) -> AbstractContextManager[Span]:
        """A stranger's trace is not joined: its flag would decide whether ours is sampled."""
        headers = request.headers if route.follow_traces else {}
        return span("receive", "SERVER", headers, webhook=route.webhook.name)

    def _read(self, route: Route, incoming: Incoming) -> Request:
        """The whole request, if it may be sent at all. Raises _NotAdmitted, _MethodNotAllowed, _TooMany, and what
        reading raises."""
        if incoming.method not in route.methods:
            raise _MethodNotAllowed
        if not route.admits(incoming.remote):
            raise _NotAdmitted("the address is not among allow_ips", 403)
        if seconds := self._admission.wait(route.webhook.name, route.webhook.accept, incoming.sender):
            raise _TooMany(seconds)
        return incoming.request(route, incoming.read(route.max_body))

    def _verify(
        self, route: Route, incoming: Incoming, request: Request, turn: Turn, until: float
    ) -> tuple[VerifiedDelivery, Body]:
        """The proven delivery, and its body. Raises Refused, _TooMany, BadBody, KeysUnavailable, Overloaded or
        StoreUnavailable."""
        if request.method not in route.platform.methods:
            raise Refused("no challenge in the request")
        try:
            delivery = route.verification.verify(request)
        except BadBody:  # of those whose proof is in the body
            self._admission.failed(route.webhook.name, incoming.sender)
            raise
        if not route.verification.needs_challenge or self.verified.is_verified(route.webhook, route.key, until):
            if seconds := self._admission.proven(route.webhook.name, route.webhook.accept, incoming.sender):
                raise _TooMany(seconds)
            turn.take(until)
            return delivery, route.parser.read(delivery)
        # Nothing but the challenge counts yet, and it may be in the body.
        turn.take(until)
        try:
            body = route.parser.read(delivery)
            if route.signed_challenge(body):
                return delivery, body
        except BadBody:
            pass
        raise Refused("not verified yet: the challenge has not come")

    def _accepted(
        self, route: Route, delivery: VerifiedDelivery, value: Any, committed: list[Committed], until: float
    ) -> Response:
        webhook = route.webhook
        duplicates = sum(one.duplicate for one in committed)
        stored = len(committed) - duplicates
        if stored or not committed:
            self._outcomes.count(webhook.name, "accepted", 200, stored)
        if not stored:
            self._admission.left_nothing(webhook.name, webhook.accept)
        if duplicates:
            self._outcomes.count(webhook.name, "duplicate", 200, duplicates)
        if not self.verified.is_known(route.key):
            self._mark(route, delivery.request, until)
        if route.configured_response is not None:
            return route.configured_response
        all_duplicates = bool(committed) and not stored
        if route.responds_as_usual and not webhook.split and not all_duplicates:
            return Response(200, b'{"eventId": "%b"}' % committed[0].event_id.encode())  # the hot path
        ids = tuple(one.event_id for one in committed)
        one = not webhook.split and len(ids) == 1
        fields: dict[str, Any] = {"eventId": ids[0]} if one else {"eventIds": list(ids)}
        if all_duplicates:
            fields["duplicate"] = True
        return route.platform.respond(Accepted(ids, value, fields)) or json_response(fields)

    def _filtered(self, route: Route, incoming: Incoming, reasons: Sequence[str]) -> None:
        status = route.configured_response.status if route.configured_response is not None else 200
        for reason in reasons:
            self._note(route, incoming, status, reason)

    def _nothing_stored(self, route: Route, delivery: VerifiedDelivery, value: Any, until: float) -> Response:
        """The answer to a delivery that is proven, and of which `only` leaves nothing."""
        self._admission.left_nothing(route.webhook.name, route.webhook.accept)
        if not self.verified.is_known(route.key):
            self._mark(route, delivery.request, until)
        if route.configured_response is not None:
            return route.configured_response
        fields = {"filtered": True}
        return route.platform.respond(Accepted((), value, fields)) or json_response(fields)

    def _challenged(self, route: Route, request: Request, answer: Response, verifies: bool, until: float) -> Response:
        """Platforms repeat their challenges: they are always answered."""
        if verifies and not self.verified.is_known(route.key):
            self._mark(route, request, until, must=route.verification.needs_challenge)
        self._outcomes.count(route.webhook.name, "challenge", answer.status)
        return answer

    def _mark(self, route: Route, request: Request, until: float, must: bool = False) -> None:
        """Notes that the webhook is verified. Where that `must` be stored, raises StoreUnavailable; else the next
        delivery will do."""
        try:
            self.verified.mark(route.webhook, route.key, self._store.now(), until)
        except StoreUnavailable:
            if must:
                raise
            structlog.get_logger().warning("can't note that the webhook is verified", webhook=route.webhook.name)

    def _failed(self, route: Route, incoming: Incoming, error: Exception) -> Response:
        """The answer to what was not accepted."""
        name = route.webhook.name
        match error:
            case _TooMany():
                self._outcomes.count(name, "limited", 429)
                after = ("Retry-After", str(error.seconds))
                return error_response(429, "too_many_requests", "send it again later", after)
            case Refused():
                if not isinstance(error, _NotAdmitted):
                    self._admission.failed(name, incoming.sender)
                self._note(route, incoming, error.status, error.reason)
                return UNAUTHORIZED if error.status == 401 else FORBIDDEN
            case BodyUnreadable():
                self._note(route, incoming, 400, "the body broke off")
                return error_response(400, "malformed_body", "the body could not be read")
            case PayloadTooLarge():
                self._outcomes.count(name, "rejected", 413)
                return error_response(413, "body_too_large", str(error))
            case BodyTooLarge():
                self._outcomes.count(name, "rejected", 413)
                return error_response(413, "body_too_large", f"the body is larger than {route.max_body} bytes")
            case UnreadableMediaType():
                self._outcomes.count(name, "rejected", 415)
                return error_response(415, "unsupported_media_type", str(error))
            case BadBody():
                self._note(route, incoming, 400, str(error))
                return error_response(400, "malformed_body", str(error))
            case _MethodNotAllowed():
                self._outcomes.count(name, "rejected", 405)
                allowed = ", ".join(sorted(route.methods))
                return error_response(405, "method_not_allowed", f"use {allowed}", ("Allow", allowed))
            case StoreUnavailable():
                self._log("the store can't take a delivery", name, error)
                self._outcomes.count(name, "store_unavailable", 503)
            case KeysUnavailable() | Overloaded():
                self._log("a delivery can't be taken now", name, error)
                self._outcomes.count(name, "rejected", 503)
            case _:
                # A bug of ours must not lose the delivery: the sender is told to try again.
                self._log("a delivery failed", name, error, exc_info=error)
                self._outcomes.count(name, "rejected", 503)
        return UNAVAILABLE

    def _log(self, line: str, webhook: str, error: Exception, **more: Any) -> None:
        """Senders may cause as many as they like."""
        left_out = self._throttle((webhook, type(error)))
        if left_out is not None:
            structlog.get_logger().error(line, webhook=webhook, error=str(error), left_out=left_out, **more)

    def _note(self, route: Route, incoming: Incoming, status: int, reason: str) -> None:
        """Counts and keeps what was rejected or filtered."""
        self._outcomes.reject(
            Rejection(
                webhook=route.webhook.name,
                at=self._store.now(),
                status=status,
                reason=reason[:_LONGEST_REASON],
                remote=incoming.remote and incoming.remote[:_LONGEST_ADDRESS],
                method=incoming.method,
            )
        )
