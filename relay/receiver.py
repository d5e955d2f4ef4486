"""What becomes of a request: throttle, verify, parse, filter, store, respond."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from platforms.bodies import BadBody, Body, UnreadableMediaType
from platforms.http import Request, Response, error_response
from platforms.verifiers import KeysUnavailable, Refused
from relay.callbacks.page import EXPIRED, LEFT_OUT, USED, ask, shown, used
from relay.callbacks.tokens import Expired, Forged
from relay.callbacks.urls import Call, refuse
from relay.concurrency import run_in_thread
from relay.events.payload import PayloadTooLarge
from relay.events.selection import Misfit
from relay.http.admission import Admission
from relay.http.bodies import BodyTooLarge, BodyUnreadable, Overloaded
from relay.http.incoming import Incoming
from relay.reports.outcomes import Outcomes
from relay.reports.raw_deliveries import Keeper
from relay.reports.reporter import LONGEST_ADDRESS, Reporter
from relay.route import Route
from relay.verify.verification import VerifiedDelivery, VerifiedWebhooks, by_url
from relay.waiting.senders import Pending, Waiting
from store.clock import MonotonicClock
from store.delivery_records import AnswerWanted
from store.errors import StoreUnavailable
from store.records import Committed, NewEvent
from store.sql.store import Store

RETRY_AFTER = 10
"""Seconds after which a sender may try again if the store or a vendor's key was unavailable."""

PATIENCE = 2.2
"""Seconds, from its last byte, within which a delivery is stored or answered 503. Slack and others want an answer
within three, and deliveries that were ready earlier come first."""
_TO_STORE = 1.0
"""Seconds that are left to store a delivery after its proof, which may have had to wait for a vendor's key."""

NOT_FOUND = error_response(404, "not_found", "there is nothing at this URL")
UNAVAILABLE = error_response(
    503, "unavailable", "the delivery can't be stored now; send it again", ("Retry-After", str(RETRY_AFTER))
)
GONE = error_response(
    503, "unavailable", "this webhook can't be used now; send it again", ("Retry-After", str(RETRY_AFTER))
)
_GONE_FOR = 60.0
"""Seconds for which a webhook that was removed from the definitions gets this answer."""
_NOT_TOLD = "its sender wasn't told: else: keep"
_NOT_VERIFIED = "not verified yet: no challenge has arrived"


class _MethodNotAllowed(Exception):
    pass


class _AddressRefused(Refused):
    """The address may not post. That says nothing about the sender's proof."""


class _TooMany(Exception):
    def __init__(self, seconds: int):
        super().__init__(seconds)
        self.seconds = seconds


class Receiver:
    """Receives deliveries for every webhook; its routes are replaced as a whole when the definitions change."""

    def __init__(
        self,
        store: Store,
        routes: Mapping[str, Route],
        outcomes: Outcomes,
        keeper: Keeper,
        waiting: Waiting,
        unavailable: frozenset[str] = frozenset(),
        clock: MonotonicClock = time,
    ):
        """`routes`: last part of the URL → route. `unavailable`: last parts of the URLs of webhooks that are defined
        but can't be in force now."""
        self._store = store
        self._deliveries = store.deliveries
        self._outcomes = outcomes
        self._keeper = keeper
        self._reporter = Reporter(store, outcomes, keeper, clock)
        self._waiting = waiting
        self._clock = clock
        self._admission = Admission(clock)
        self._verified = VerifiedWebhooks(store.verifications)
        self._routes = routes
        self._unavailable = unavailable
        self._gone: dict[str, float] = {}
        """Last parts of URLs that were removed from the definitions → until when they are answered 503."""

    def replace(self, routes: Mapping[str, Route], unavailable: frozenset[str]) -> list[str]:
        """Puts these routes in force. Returns the last parts of the URLs that are gone."""
        now = self._clock.monotonic()
        left = sorted(self._routes.keys() - routes.keys() - unavailable)
        gone = {url_id: until for url_id, until in self._gone.items() if until > now}
        gone |= dict.fromkeys(self._routes, now + _GONE_FOR)
        self._gone = {url_id: until for url_id, until in gone.items() if url_id not in routes}
        self._routes, self._unavailable = routes, unavailable
        self._verified.replace({route.key for route in routes.values()})
        return left

    def receive(self, url_id: str, incoming: Incoming) -> Response | Pending:
        """Handles a request for ``/webhook/{url_id}``, from look-up to response. Always returns one, whatever was
        sent; `Pending` if a workflow is to give it."""
        route = self._routes.get(url_id)
        if route is None or route.callback is not None:
            return self._called(url_id, incoming)
        return self._receive(route, incoming)

    def _receive(self, route: Route, incoming: Incoming, call: Call | None = None) -> Response | Pending:
        """`call`: what proves the request, if its URL names a task."""
        request: Request | None = None
        try:
            self._throttle(route, incoming)
            with incoming.body(route.max_body) as content:
                request = incoming.request(route, content)
                del content  # the request has it
                until = incoming.arrived_at + PATIENCE
                with route.span(request) as receiving:
                    if challenge := route.challenge(request):
                        return self._challenged(route, challenge, route.challenge_verifies, until)
                    delivery = self._verify(route, incoming, request) if call is None else by_url(call, request)
                    # To wait for a vendor's key mustn't use up the time for storing what it has proven.
                    until = max(until, time.monotonic() + _TO_STORE)
                    counts = self._counts(route, incoming, until)
                    body = self._parse(route, delivery, counts)
                    if challenge := route.signed_challenge(body):
                        return self._challenged(route, challenge, True, until)
                    if not counts:
                        raise Refused(_NOT_VERIFIED)
                    remote = incoming.remote and incoming.remote[:LONGEST_ADDRESS]
                    now = self._store.now()
                    make_events = partial(route.parser.events, delivery, body, now, receiving.traceparent, remote)
                    events = run_in_thread(make_events) if route.parser.takes_long(request) else make_events()
                    if call is not None:
                        self._find_use(route.webhook.name, call, until)
                        events = list(map(call.addressed, events))
                    wanted = self._select(route, incoming, request, events)
                    self._admit(route, wanted, until)
                    pending = self._pending(route, wanted, now, until)
                    if pending is not None:
                        wanted[0] = replace(wanted[0], answer=pending.wanted)
                    committed = self._deliveries.append(wanted, until) if wanted else []
                    receiving.set(events=len(committed))
                    response = self._accepted(route, incoming, body, committed, bool(events) and not wanted, until)
                    return response if pending is None else pending.of(committed[0])
        except Exception as error:
            return self._failed(route, incoming, request, error)

    def _called(self, path: str, incoming: Incoming) -> Response:
        """A call of a URL that names a task, if there is such a webhook; everything else gets the same 404."""
        url_id, _, rest = path.partition("/")
        route = self._routes.get(url_id)
        if route is None or route.callback is None:
            refuse(rest)
            return self._unknown(url_id, incoming)
        name = route.webhook.name
        try:
            call = route.callback.read(rest, self._store.now() // 1000)
        except Forged:
            self._reporter.record(route, incoming, 404, "its URL is forged, damaged, or another webhook's")
            return NOT_FOUND
        except Expired:
            self._reporter.record(route, incoming, 410, "its URL has expired")
            return shown(EXPIRED, incoming.wants_page)
        if incoming.method in ("GET", "HEAD") and route.admits(incoming.remote):
            if seconds := self._admission.page(name, incoming.sender):
                return shown(self._failed(route, incoming, None, _TooMany(seconds)), incoming.wants_page)
            at = self._used_at(name, call)
            asked = ask(call.allowed(incoming.query)) if at is None else shown(used(at), incoming.wants_page)
            return self._reporter.count(name, "page", asked)
        response = self._receive(route, incoming, call)
        assert isinstance(response, Response)  # what has a callback can't have `wait`
        return shown(used(self._used_at(name, call)) if response is USED else response, incoming.wants_page)

    def _used_at(self, webhook: str, call: Call) -> int | None:
        """When the URL was used (Unix milliseconds); None if it wasn't, or nobody knows now."""
        with suppress(StoreUnavailable):
            return self._find_use(webhook, call, time.monotonic() + _TO_STORE)
        return None

    def _find_use(self, webhook: str, call: Call, until: float) -> int | None:
        """See `Call.find_use`; without a signature nobody may know: anyone can make up ids. Raises StoreUnavailable."""
        if not call.is_signed:
            return None
        return call.find_use(lambda ids: self._deliveries.received_at(webhook, ids, until))

    def _unknown(self, url_id: str, incoming: Incoming) -> Response:
        """No such webhook. If it was just removed, the file may be half written, so its sender should try again."""
        if url_id in self._unavailable or self._gone.get(url_id, 0.0) > self._clock.monotonic():
            return self._reporter.count("", "unknown", GONE)
        self._reporter.unknown(incoming, url_id)
        return NOT_FOUND

    # --- step by step

    def _throttle(self, route: Route, incoming: Incoming) -> None:
        """Raises _MethodNotAllowed, _AddressRefused or _TooMany if the body shouldn't even be read."""
        if incoming.method not in route.methods:
            raise _MethodNotAllowed
        if not route.admits(incoming.remote):
            raise _AddressRefused("the address is not in allow_ips", 403)
        if seconds := self._admission.wait(route.webhook.name, incoming.sender):
            raise _TooMany(seconds)

    def _verify(self, route: Route, incoming: Incoming, request: Request) -> VerifiedDelivery:
        """Raises Refused, BadBody or KeysUnavailable."""
        if request.method not in route.platform.methods:
            raise Refused("no challenge in the request")
        try:
            return route.verification.verify(request)
        except BadBody:  # for platforms whose proof is in the body
            self._admission.failed(route.webhook.name, incoming.sender, len(request.body))
            raise

    def _counts(self, route: Route, incoming: Incoming, until: float) -> bool:
        """Whether the delivery counts. If only a challenge can verify the webhook, nothing else counts before it.
        Raises StoreUnavailable."""
        if route.callback is not None and not route.callback.is_signed:
            self._admission.failed(route.webhook.name, incoming.sender)  # anyone can make up ids
        return not route.needs_challenge or self._verified.is_verified(route.webhook, route.key, until)

    def _admit(self, route: Route, events: list[NewEvent], until: float) -> None:
        """Counts a delivery's events against `accept`, but nothing for a repetition: anyone who has seen a delivery can
        send it again. Raises _TooMany or StoreUnavailable."""
        if route.accept is None or not events:
            return
        name = route.webhook.name
        ids = [event.delivery_id for event in events if event.delivery_id is not None]
        if len(ids) == len(events) and self._deliveries.received_at(name, ids, until).keys() == set(ids):
            return
        if seconds := self._admission.take(name, route.accept):
            raise _TooMany(seconds)

    def _parse(self, route: Route, delivery: VerifiedDelivery, counts: bool) -> Body:
        """Raises BadBody, or Refused if the delivery doesn't count."""
        try:
            takes_long = route.parser.takes_long(delivery.request)
            return run_in_thread(route.parser.read, delivery) if takes_long else route.parser.read(delivery)
        except BadBody:
            if counts:
                raise
            raise Refused(_NOT_VERIFIED) from None

    def _select(self, route: Route, incoming: Incoming, request: Request, events: list[NewEvent]) -> list[NewEvent]:
        """The events that are stored; records the others. Raises Misfit if they are to be refused."""
        selected = route.selection.of(events)
        for reason in selected.filtered:
            self._reporter.record(route, incoming, route.filtered_status, reason)
        misfits = [f"{reason} ({_NOT_TOLD})" for reason in selected.misfits]
        self._reporter.misfit(route, incoming, request, misfits)
        return selected.events

    def _pending(self, route: Route, wanted: list[NewEvent], now: int, until: float) -> Pending | None:
        """What the sender of these events waits for: the workflow of the first. None if it is answered at once."""
        respond, webhook = route.webhook.respond, route.webhook.name
        if respond is None or respond.wait is None or respond.output is None or not wanted:
            return None
        answer = AnswerWanted(respond.output, now + int(respond.wait * 1000))
        may_wait = self._waiting.has_room(webhook)
        return Pending(wanted[0].id, webhook, respond, answer if may_wait else None, until - PATIENCE + respond.wait)

    # --- the end

    def _accepted(
        self,
        route: Route,
        incoming: Incoming,
        body: Body,
        committed: list[Committed],
        all_filtered: bool,
        until: float,
    ) -> Response:
        """The response to a proven delivery, whether or not `only` let any of its events through."""
        webhook = route.webhook
        duplicates = sum(one.duplicate for one in committed)
        stored = len(committed) - duplicates
        if stored or not (committed or all_filtered):
            self._outcomes.count(webhook.name, "accepted", 200, stored)
        if stored and webhook.listen:
            self._keeper.has_kept(webhook.name)
        if duplicates:
            self._outcomes.count(webhook.name, "duplicate", 200 if route.callback is None else 410, duplicates)
            self._reporter.repeated(route, incoming, committed)
        if stored and (route.callback is None or route.callback.is_signed):
            self._admission.proven(webhook.name, incoming.sender)
        if not self._verified.is_known(route.key):
            self._mark(route, until)
        if route.callback is not None and (duplicates or (all_filtered and incoming.wants_page)):
            return USED if duplicates else LEFT_OUT
        return route.response(committed, body, all_filtered)

    def _challenged(self, route: Route, response: Response, verifies: bool, until: float) -> Response:
        """Platforms repeat their challenges: they are always answered."""
        if verifies and not self._verified.is_known(route.key):
            self._mark(route, until, must=True)
        return self._reporter.count(route.webhook.name, "challenge", response)

    def _mark(self, route: Route, until: float, must: bool = False) -> None:
        """Records that the webhook is verified. If the store is unavailable, raises StoreUnavailable when `must` is
        set; otherwise the next delivery records it."""
        try:
            self._verified.mark(route.webhook, route.key, self._store.now(), until)
        except StoreUnavailable:
            if must:
                raise
            structlog.get_logger().warning("can't note that the webhook is verified", webhook=route.webhook.name)

    def _failed(self, route: Route, incoming: Incoming, request: Request | None, error: Exception) -> Response:
        """The response to a delivery that was not accepted."""
        name = route.webhook.name
        match error:
            case _TooMany():
                again = ("Retry-After", str(error.seconds))
                return self._reporter.count(
                    name, "limited", error_response(429, "too_many_requests", "try again later", again)
                )
            case Refused():
                if not isinstance(error, _AddressRefused):
                    self._admission.failed(name, incoming.sender, 0 if request is None else len(request.body))
                kept_id = self._reporter.keep(route, incoming, request, error)
                self._reporter.record(route, incoming, error.status, error.reason, kept_id)
                return route.refusal(error.status)
            case BadBody() | BodyTooLarge() | BodyUnreadable():
                if not isinstance(error, BadBody):  # nothing is proven of a body that wasn't read
                    self._admission.failed(name, incoming.sender)
                status, code, reason = 400, "malformed_body", str(error)
                if isinstance(error, (BodyTooLarge, PayloadTooLarge)):
                    status, code = 413, "body_too_large"
                elif isinstance(error, UnreadableMediaType):
                    status, code = 415, "unsupported_media_type"
                    reason += f": {request.headers.get('content-type') if request is not None else None}"
                self._reporter.record(route, incoming, status, reason)
                return error_response(status, code, str(error))
            case Misfit():
                self._reporter.misfit(route, incoming, request, [error.reason])
                return error_response(422, "schema_mismatch", str(error))
            case _MethodNotAllowed():
                allowed = ", ".join(sorted(route.methods))
                self._reporter.record(route, incoming, 405, f"the method {incoming.method}; use {allowed}")
                return error_response(405, "method_not_allowed", f"use {allowed}", ("Allow", allowed))
            case StoreUnavailable():
                self._reporter.log("the store can't take a delivery", name, error)
                return self._reporter.count(name, "store_unavailable", UNAVAILABLE)
            case KeysUnavailable() | Overloaded():
                self._reporter.log("a delivery can't be accepted now", name, error)
                reason = str(error)
            case _:
                # A bug of ours must not lose the delivery: ask the sender to try again.
                self._reporter.log("a delivery failed", name, error, exc_info=error)
                reason = "an error in the bridge: see the relay's log"
        self._reporter.record(route, incoming, 503, reason)
        return UNAVAILABLE
