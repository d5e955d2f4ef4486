"""What becomes of a request: throttle, verify, parse, filter, store, respond."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace

import structlog

from platforms.bodies import BadBody, Body, UnreadableMediaType
from platforms.http import Request, Response, error_response
from platforms.verifiers import KeysUnavailable, Refused
from relay.callbacks.page import EXPIRED, LEFT_OUT, USED, ask, shown, used
from relay.callbacks.tokens import Expired, Forged
from relay.callbacks.urls import Call, refuse
from relay.concurrency import Parameters, Value, run_in_thread
from relay.events.parser import FEW
from relay.events.payload import PayloadTooLarge
from relay.events.selection import LeftOut, Misfit
from relay.http.bodies import BodyTooLarge, BodyUnreadable, Overloaded, taking
from relay.http.incoming import Incoming
from relay.limits.admission import Admission
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
from store.tracing import Span

RETRY_AFTER = 10
"""Seconds after which a sender may try again if the store or a vendor's key was unavailable."""

PATIENCE = 2.2
"""Seconds, from its last byte, within which a delivery is stored or answered 503. Slack and others
want an answer within three, and deliveries that were ready earlier come first."""
_TO_STORE = 1.0
"""Seconds that are left to store a delivery after its proof, which may have had to wait for a
vendor's key."""

KnownIds = Mapping[str | None, Committed]

NOT_FOUND = error_response(404, "not_found", "there is nothing at this URL")
UNAVAILABLE = error_response(
    503,
    "unavailable",
    "the delivery can't be stored now; send it again",
    ("Retry-After", str(RETRY_AFTER)),
)
GONE = error_response(
    503,
    "unavailable",
    "this webhook can't be used now; send it again",
    ("Retry-After", str(RETRY_AFTER)),
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
    """Receives deliveries for every webhook; its routes are replaced as a whole when the
    definitions change."""

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
        """`routes`: last part of the URL → route. `unavailable`: last parts of the URLs of webhooks
        that are defined but can't be in force now."""
        self.store = store
        self.outcomes = outcomes
        self.keeper = keeper
        self.reporter = Reporter(store, outcomes, keeper, clock)
        self.waiting = waiting
        self.admission = Admission(clock)
        self.verified = VerifiedWebhooks(store.verifications)
        self._clock = clock
        self._routes = routes
        self._unavailable = unavailable
        self._gone: dict[str, float] = {}
        """Last parts of URLs that were removed from the definitions → until when they are answered
        503."""

    def replace(self, routes: Mapping[str, Route], unavailable: frozenset[str]) -> list[str]:
        """Puts these routes in force. Returns the last parts of the URLs that are gone."""
        now = self._clock.monotonic()
        left = sorted(self._routes.keys() - routes.keys() - unavailable)
        gone = {url_id: until for url_id, until in self._gone.items() if until > now}
        gone |= dict.fromkeys(self._routes, now + _GONE_FOR)
        self._gone = {url_id: until for url_id, until in gone.items() if url_id not in routes}
        self._routes, self._unavailable = routes, unavailable
        self.verified.replace({route.key for route in routes.values()})
        return left

    def receive(self, url_id: str, incoming: Incoming) -> Response | Pending:
        """Handles a request for ``/webhook/{url_id}``, from look-up to response. Always returns
        one, whatever was sent; `Pending` if a workflow is to give it."""
        route = self._routes.get(url_id)
        if route is None or route.callback is not None:
            return self._called(url_id, incoming)
        return Delivery(self, route, incoming).response()

    def _called(self, path: str, incoming: Incoming) -> Response:
        """A call of a URL that names a task, if there is such a webhook; everything else gets the
        same 404."""
        url_id, _, rest = path.partition("/")
        route = self._routes.get(url_id)
        if route is None or route.callback is None:
            refuse(rest)
            return self._unknown(url_id, incoming)
        try:
            call = route.callback.read(rest, self.store.now() // 1000)
        except Forged:
            self.reporter.record(
                route, incoming, 404, "its URL is forged, damaged, or another webhook's"
            )
            return NOT_FOUND
        except Expired:
            self.reporter.record(route, incoming, 410, "its URL has expired")
            return shown(EXPIRED, incoming.wants_page)
        delivery = Delivery(self, route, incoming, call)
        if incoming.method in ("GET", "HEAD") and route.admits(incoming.remote):
            return delivery.page(call)
        response = delivery.response()
        assert isinstance(response, Response)  # what has a callback can't have `wait`
        return shown(
            used(delivery.used_at(call)) if response is USED else response, incoming.wants_page
        )

    def _unknown(self, url_id: str, incoming: Incoming) -> Response:
        """No such webhook. If it was just removed, the file may be half written, so its sender
        should try again."""
        if url_id in self._unavailable or self._gone.get(url_id, 0.0) > self._clock.monotonic():
            return self.reporter.count("", "unknown", GONE)
        self.reporter.unknown(incoming, url_id)
        return NOT_FOUND


class Delivery:
    """One request to a webhook, from its arrival to its answer."""

    def __init__(
        self, receiver: Receiver, route: Route, incoming: Incoming, call: Call | None = None
    ):
        """`receiver`: what all deliveries share. `call`: what proves the request, if its URL names
        a task."""
        self._shared = receiver
        self._route = route
        self._name = route.webhook.name
        self._incoming = incoming
        self._call = call
        self._request: Request | None = None
        self._until = 0.0
        """When it must have been stored, at the latest (monotonic clock)."""

    def response(self) -> Response | Pending:
        """Always returns one."""
        try:
            self._throttle()
            with self._incoming.body(self._route) as content:
                self._request = request = self._incoming.request(self._route, content)
                del content  # the request has it
                self._until = self._incoming.arrived_at + PATIENCE
                with self._route.span(request) as receiving:
                    return self._handle(request, receiving)
        except Exception as error:
            return self._failed(error)

    def _handle(self, request: Request, receiving: Span) -> Response | Pending:
        """Verify, parse, look up, select, store, answer."""
        route = self._route
        if challenge := route.challenge(request):
            return self._challenged(challenge, route.challenge_verifies)
        delivery = self._verify(request)
        counts = self._counts()
        body = self._parse(delivery, counts)
        if challenge := route.signed_challenge(body):
            return self._challenged(challenge, True)
        if not counts:
            raise Refused(_NOT_VERIFIED)
        events = self._events(delivery, body, receiving.traceparent)
        takes_long = route.selection.takes_long(events)
        known = self._look_up(events, takes_long)
        wanted = self._select(request, events, known, takes_long)
        pending = self._pending(wanted)
        if pending is not None:
            wanted[0] = replace(wanted[0], answer=pending.wanted)
        committed = self._store(wanted, known)
        receiving.set(events=len(committed))
        response = self._accepted(body, committed, all_filtered=bool(events) and not wanted)
        return response if pending is None else pending.of(committed[0])

    # --- step by step

    def _throttle(self) -> None:
        """Raises _MethodNotAllowed, _AddressRefused or _TooMany if the body shouldn't even be
        read."""
        if self._incoming.method not in self._route.methods:
            raise _MethodNotAllowed
        if not self._route.admits(self._incoming.remote):
            raise _AddressRefused("the address is not in allow_ips", 403)
        if seconds := self._shared.admission.wait(self._name, self._incoming.sender):
            raise _TooMany(seconds)

    def _verify(self, request: Request) -> VerifiedDelivery:
        """Raises Refused, BadBody or KeysUnavailable."""
        if self._call is not None:
            return by_url(self._call, request)
        if request.method not in self._route.platform.methods:
            raise Refused("no challenge in the request")
        try:
            delivery = self._route.verification.verify(request)
        except BadBody:  # for platforms whose proof is in the body
            self._shared.admission.failed(self._name, self._incoming.sender, len(request.body))
            raise
        # To wait for a vendor's key mustn't use up the time for storing what it has proven.
        self._until = max(self._until, time.monotonic() + _TO_STORE)
        return delivery

    def _counts(self) -> bool:
        """Whether the delivery counts. If only a challenge can verify the webhook, nothing else
        counts before it. Raises StoreUnavailable."""
        route, verified = self._route, self._shared.verified
        if route.callback is not None and not route.callback.is_signed:
            self._shared.admission.failed(
                self._name, self._incoming.sender
            )  # anyone can make up ids
        return not route.needs_challenge or verified.is_verified(
            route.webhook, route.key, self._until
        )

    def _parse(self, delivery: VerifiedDelivery, counts: bool) -> Body:
        """Raises BadBody, Refused if the delivery doesn't count, or Overloaded."""
        parser = self._route.parser
        try:
            return self._run(parser.is_large(delivery), parser.read, delivery)
        except BadBody:
            if counts:
                raise
            raise Refused(_NOT_VERIFIED) from None

    def _events(
        self, delivery: VerifiedDelivery, body: Body, traceparent: str | None
    ) -> list[NewEvent]:
        """Raises BadBody, Overloaded or StoreUnavailable."""
        parser = self._route.parser
        remote = self._incoming.remote and self._incoming.remote[:LONGEST_ADDRESS]
        takes_long = parser.is_large(delivery) or parser.may_grow(body)
        events = self._run(
            takes_long, parser.events, delivery, body, self._shared.store.now(), traceparent, remote
        )
        if self._call is None:
            return events
        self._find_use(self._call)
        return list(map(self._call.addressed, events))

    def _look_up(self, events: list[NewEvent], takes_long: bool) -> KnownIds:
        """Delivery id → what it repeats, of those that are known. Anyone who has seen a delivery
        can send it again: it neither counts against `accept` nor is evaluated again, if that takes
        long. Raises StoreUnavailable."""
        if self._route.accept is None and not takes_long:
            return {}  # the commit shows it
        ids = [event.delivery_id for event in events if event.delivery_id is not None]
        found = self._shared.store.deliveries.known(self._name, ids, self._until)
        return {delivery_id: one.committed for delivery_id, one in found.items()}

    def _select(
        self, request: Request, events: list[NewEvent], known: KnownIds, takes_long: bool
    ) -> list[NewEvent]:
        """The events that are stored, or are to be; records the others. Raises _TooMany, Misfit,
        PayloadTooLarge or Overloaded."""
        route, reporter = self._route, self._shared.reporter
        if all(event.delivery_id in known for event in events):
            return events
        if route.accept is not None and (
            seconds := self._shared.admission.take(self._name, route.accept)
        ):
            raise _TooMany(seconds)
        selected = self._run(takes_long, route.selection.of, events, known)
        reporter.left_out(route, self._incoming, route.filtered_status, selected.filtered)
        misfits = [f"{reason} ({_NOT_TOLD})" for reason in selected.misfits.reasons]
        reporter.misfits(route, self._incoming, request, LeftOut(selected.misfits.number, misfits))
        return selected.events

    def _pending(self, wanted: list[NewEvent]) -> Pending | None:
        """The wait for the workflow of the first of these events. None if the sender is answered at
        once."""
        respond = self._route.webhook.respond
        if respond is None or respond.wait is None or respond.output is None or not wanted:
            return None
        answer = AnswerWanted(respond.output, wanted[0].received_at + int(respond.wait * 1000))
        may_wait = self._shared.waiting.has_room(self._name)
        until = self._until - PATIENCE + respond.wait
        return Pending(wanted[0].id, self._name, respond, answer if may_wait else None, until)

    def _store(self, wanted: list[NewEvent], known: KnownIds) -> list[Committed]:
        """Raises Overloaded or StoreUnavailable."""
        if all(event.delivery_id in known for event in wanted):
            return [known[event.delivery_id] for event in wanted]
        with taking(self._route.turn, self._until) if len(wanted) > FEW else nullcontext():
            return self._shared.store.deliveries.append(wanted, self._until)

    def _run(
        self,
        takes_long: bool,
        function: Callable[Parameters, Value],
        *arguments: Parameters.args,
        **more: Parameters.kwargs,
    ) -> Value:
        """Calls the function; if it takes long on a thread, in the webhook's turn. Raises what it
        raises, or Overloaded."""
        if not takes_long:
            return function(*arguments, **more)
        with taking(self._route.turn, self._until):
            return run_in_thread(function, *arguments, **more)

    # --- callbacks

    def page(self, call: Call) -> Response:
        """The page at the URL of a task, for people."""
        incoming, admission = self._incoming, self._shared.admission
        if seconds := admission.page(self._name, incoming.sender):
            return shown(self._failed(_TooMany(seconds)), incoming.wants_page)
        at = self.used_at(call)
        asked = (
            ask(call.allowed(incoming.query))
            if at is None
            else shown(used(at), incoming.wants_page)
        )
        return self._shared.reporter.count(self._name, "page", asked)

    def used_at(self, call: Call) -> int | None:
        """When the URL was used (Unix milliseconds); None if it wasn't, or nobody knows now."""
        self._until = time.monotonic() + _TO_STORE
        with suppress(StoreUnavailable):
            return self._find_use(call)
        return None

    def _find_use(self, call: Call) -> int | None:
        """See `Call.find_use`; without a signature nobody may know: anyone can make up ids. Raises
        StoreUnavailable."""
        if not call.is_signed:
            return None

        def used_at(ids: Sequence[str]) -> Mapping[str, int]:
            known = self._shared.store.deliveries.known(self._name, ids, self._until)
            return {delivery_id: one.received_at for delivery_id, one in known.items()}

        return call.find_use(used_at)

    # --- the end

    def _accepted(self, body: Body, committed: list[Committed], all_filtered: bool) -> Response:
        """The response to a proven delivery, whether or not `only` let any of its events through."""
        route, shared, incoming = self._route, self._shared, self._incoming
        duplicates = sum(one.duplicate for one in committed)
        stored = len(committed) - duplicates
        if stored or not (committed or all_filtered):
            shared.outcomes.count(self._name, "accepted", 200, stored)
        if stored and route.webhook.listen:
            shared.keeper.has_kept(self._name)
        if duplicates:
            shared.outcomes.count(
                self._name, "duplicate", 200 if route.callback is None else 410, duplicates
            )
            shared.reporter.repeated(route, incoming, committed)
        if stored and (route.callback is None or route.callback.is_signed):
            shared.admission.proven(self._name, incoming.sender)
        if not shared.verified.is_known(route.key):
            self._mark()
        if route.callback is not None and (duplicates or (all_filtered and incoming.wants_page)):
            return USED if duplicates else LEFT_OUT
        return route.response(committed, body, all_filtered)

    def _challenged(self, response: Response, verifies: bool) -> Response:
        """Platforms repeat their challenges: they are always answered."""
        if verifies and not self._shared.verified.is_known(self._route.key):
            self._mark(must=True)
        return self._shared.reporter.count(self._name, "challenge", response)

    def _mark(self, must: bool = False) -> None:
        """Records that the webhook is verified. If the store is unavailable, raises
        StoreUnavailable when `must` is set; otherwise the next delivery records it."""
        route, shared = self._route, self._shared
        try:
            shared.verified.mark(route.webhook, route.key, shared.store.now(), self._until)
        except StoreUnavailable:
            if must:
                raise
            structlog.get_logger().warning(
                "can't note that the webhook is verified", webhook=self._name
            )

    def _failed(self, error: Exception) -> Response:
        """The response to a delivery that was not accepted."""
        route, incoming, request, name = self._route, self._incoming, self._request, self._name
        reporter, admission = self._shared.reporter, self._shared.admission
        match error:
            case _TooMany():
                again = ("Retry-After", str(error.seconds))
                return reporter.count(
                    name,
                    "limited",
                    error_response(429, "too_many_requests", "try again later", again),
                )
            case Refused():
                if not isinstance(error, _AddressRefused):
                    admission.failed(
                        name, incoming.sender, 0 if request is None else len(request.body)
                    )
                kept_id = reporter.keep(route, incoming, request, error)
                reporter.record(route, incoming, error.status, error.reason, kept_id)
                return route.refusal(error.status)
            case BadBody() | BodyTooLarge() | BodyUnreadable():
                if not isinstance(error, BadBody):  # nothing is proven of a body that wasn't read
                    admission.failed(name, incoming.sender)
                status, code, reason = 400, "malformed_body", str(error)
                if isinstance(error, (BodyTooLarge, PayloadTooLarge)):
                    status, code = 413, "body_too_large"
                elif isinstance(error, UnreadableMediaType):
                    status, code = 415, "unsupported_media_type"
                    reason += (
                        f": {request.headers.get('content-type') if request is not None else None}"
                    )
                reporter.record(route, incoming, status, reason)
                return error_response(status, code, str(error))
            case Misfit():
                reporter.misfits(route, incoming, request, LeftOut(1, [error.reason]))
                return error_response(422, "schema_mismatch", str(error))
            case _MethodNotAllowed():
                allowed = ", ".join(sorted(route.methods))
                reporter.record(
                    route, incoming, 405, f"the method {incoming.method}; use {allowed}"
                )
                return error_response(
                    405, "method_not_allowed", f"use {allowed}", ("Allow", allowed)
                )
            case StoreUnavailable():
                reporter.log("the store can't take a delivery", name, error)
                return reporter.count(name, "store_unavailable", UNAVAILABLE)
            case KeysUnavailable() | Overloaded():
                reporter.log("a delivery can't be accepted now", name, error)
                reason = str(error)
            case _:
                # A bug of ours must not lose the delivery: ask the sender to try again.
                reporter.log("a delivery failed", name, error, exc_info=error)
                reason = "an error in the bridge: see the relay's log"
        reporter.record(route, incoming, 503, reason)
        return UNAVAILABLE
