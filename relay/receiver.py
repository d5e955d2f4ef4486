"""What becomes of a request: the HTTP contract, from the first check to the answer."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any, Protocol

import structlog

from config.webhooks import Webhook
from events.payload import BadBody, UnreadableMediaType
from events.records import Committed, Rejection
from events.store import Deliveries, StoreUnavailable
from relay import metrics
from relay.platform import Accepted
from relay.request import Answer, Request, error_answer, json_answer
from relay.route import Route
from relay.tally import Tally
from relay.verification import Key, VerifiedDelivery, VerifiedWebhooks
from relay.verifiers import KeysUnavailable, Refused

RETRY_AFTER = 10
"""Seconds after which a sender may try again when the store, or a vendor's key, couldn't be had."""

NOT_FOUND = error_answer(404, "not_found", "there is nothing at this URL")
UNAUTHORIZED = error_answer(401, "unauthorized", "the delivery could not be verified")
FORBIDDEN = error_answer(403, "forbidden", "not allowed")
UNAVAILABLE = error_answer(
    503, "unavailable", "the delivery can't be stored now; send it again", ("Retry-After", str(RETRY_AFTER))
)


Steps = Generator[None, None, Answer]
"""An answer in the making."""


class BodyTooLarge(Exception):
    """The body is larger than the webhook takes."""


class BodyUnreadable(Exception):
    """The body broke off, or came in no valid form."""


class Incoming(Protocol):
    """A request whose body has not been read yet."""

    method: str
    remote: str | None

    def read(self, max_body: int) -> bytes:
        """The body. Raises BodyTooLarge or BodyUnreadable."""

    def request(self, route: Route, body: bytes) -> Request:
        """All of it."""


def _webhooks(routes: Mapping[str, Route]) -> dict[Key, Webhook]:
    return {route.key: route.webhook for route in routes.values()}


class Receiver:
    """Receives for every webhook; `routes` is replaced as a whole when the definitions change."""

    def __init__(self, store: Deliveries, routes: Mapping[str, Route], tally: Tally):
        self._store = store
        self._tally = tally
        self.verified = VerifiedWebhooks(store, _webhooks(routes))
        self._routes = routes

    @property
    def routes(self) -> Mapping[str, Route]:
        """Last part of the URL → route."""
        return self._routes

    @routes.setter
    def routes(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self.verified.replace(_webhooks(routes))

    def may_wait(self, url_id: str) -> bool:
        """Whether a request may have to wait for somebody else's server."""
        route = self._routes.get(url_id)
        return route is not None and route.platform.vendor_keys

    def receive(self, url_id: str, incoming: Incoming) -> Steps:
        """Receives a request for ``/webhook/{url_id}``; returns the answer, always one, whatever was sent.

        Steps are made up to the commit, which deliveries that have come that far share, and behind it.
        """
        route = self._routes.get(url_id)
        if route is None:
            self._tally.count("", "unknown", 404)
            return NOT_FOUND
        name = route.webhook.name
        try:
            return (yield from self._receive(route, incoming))
        except StoreUnavailable as error:
            structlog.get_logger().error("the store can't take a delivery", webhook=name, error=str(error))
            self._tally.count(name, "store_unavailable", 503)
            return UNAVAILABLE
        except KeysUnavailable as error:
            structlog.get_logger().error("a delivery can't be verified now", webhook=name, error=str(error))
            self._tally.count(name, "rejected", 503)
            return UNAVAILABLE
        except Exception:
            # A bug of ours must not lose the delivery: the sender is told to try again.
            structlog.get_logger().exception("a delivery failed", webhook=name)
            self._tally.count(name, "rejected", 503)
            return UNAVAILABLE

    def _receive(self, route: Route, incoming: Incoming) -> Steps:
        webhook = route.webhook
        if incoming.method not in route.methods:
            self._tally.count(webhook.name, "rejected", 405)
            allowed = ", ".join(sorted(route.methods))
            return error_answer(405, "method_not_allowed", f"use {allowed}", ("Allow", allowed))
        if not route.admits(incoming.remote):
            return self._reject(route, incoming, 403, "the address is not among allow_ips")
        try:
            body = incoming.read(route.max_body)
        except BodyTooLarge:
            self._tally.count(webhook.name, "rejected", 413)
            return error_answer(413, "body_too_large", f"the body is larger than {route.max_body} bytes")
        except BodyUnreadable:
            return self._reject(route, incoming, 400, "the body broke off", "the body could not be read")
        request = incoming.request(route, body)
        try:
            return (yield from self._answer(route, request))
        except Refused as refusal:
            return self._reject(route, incoming, refusal.status, refusal.reason)
        except UnreadableMediaType as error:
            self._tally.count(webhook.name, "rejected", 415)
            return error_answer(415, "unsupported_media_type", str(error))
        except BadBody as error:
            return self._reject(route, incoming, 400, str(error), str(error))

    def _answer(self, route: Route, request: Request) -> Steps:
        platform = route.platform
        if platform.challenge is not None:
            answer = platform.challenge(request, route.terms)
            if answer is not None:
                return self._challenged(route, request, answer)
        if request.method not in route.deliverable:
            raise Refused("no challenge in the request")
        delivery = route.verification.verify(request)
        closed = route.verification.needs_challenge and not self.verified.is_verified(route.webhook, route.key)
        try:
            body = route.intake.read(request)
        except BadBody:
            if closed:
                raise Refused("not verified yet: the challenge has not come") from None
            raise
        if platform.signed_challenge is not None:
            answer = platform.signed_challenge(body.value, route.terms)
            if answer is not None:
                return self._challenged(route, request, answer)
        if closed:
            raise Refused("not verified yet: the challenge has not come")
        events = route.intake.events(delivery, body)
        if not events:
            return self._accepted(route, delivery, body.value, [])
        appending = self._store.submit(events)
        try:
            yield
        finally:  # what was handed in is committed, even if nobody waits for the answer any more
            committed = appending.committed()
        return self._accepted(route, delivery, body.value, committed)

    def _accepted(self, route: Route, delivery: VerifiedDelivery, value: Any, committed: list[Committed]) -> Answer:
        webhook = route.webhook
        duplicates = sum(one.duplicate for one in committed)
        stored = len(committed) - duplicates
        if stored or not committed:
            metrics.count_committed(webhook.name, stored)
            self._tally.count(webhook.name, "accepted", 200, stored)
        if duplicates:
            self._tally.count(webhook.name, "duplicate", 200, duplicates)
        if not self.verified.is_known(route.key):
            self._mark(route, delivery.request)
        all_duplicates = bool(committed) and not stored
        if route.platform.answer is None and not webhook.split and not all_duplicates:
            return Answer(200, b'{"eventId": "%b"}' % committed[0].event_id.encode())  # the hot path
        ids = tuple(one.event_id for one in committed)
        fields: dict[str, Any] = {"eventIds": list(ids)} if webhook.split else {"eventId": ids[0]}
        if all_duplicates:
            fields["duplicate"] = True
        if route.platform.answer is None:
            return json_answer(fields)
        return route.platform.answer(Accepted(ids, all_duplicates, value, fields))

    def _challenged(self, route: Route, request: Request, answer: Answer) -> Answer:
        """Platforms repeat their challenges: they are always answered, and the first one verifies the webhook."""
        if not self.verified.is_known(route.key):
            self._mark(route, request, must=route.verification.needs_challenge)
        self._tally.count(route.webhook.name, "challenge", answer.status)
        return answer

    def _mark(self, route: Route, request: Request, must: bool = False) -> None:
        """Notes that the webhook is verified. Where that `must` be stored, raises StoreUnavailable; else the next
        delivery will do."""
        try:
            self.verified.mark(route.webhook, route.key, int(request.now * 1000), whole=must)
        except StoreUnavailable:
            if must:
                raise
            structlog.get_logger().warning("can't note that the webhook is verified", webhook=route.webhook.name)

    def _reject(self, route: Route, incoming: Incoming, status: int, reason: str, message: str | None = None) -> Answer:
        self._tally.reject(
            Rejection(
                webhook=route.webhook.name,
                at=int(time.time() * 1000),
                status=status,
                reason=reason,
                remote=incoming.remote,
                method=incoming.method,
            )
        )
        if message is not None:
            return error_answer(status, "malformed_body", message)
        return UNAUTHORIZED if status == 401 else FORBIDDEN
