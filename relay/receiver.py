"""What becomes of a request: verify, parse, select, store, answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace

import structlog

from config.model import Accept
from platforms.bodies import BadBody, UnreadableMediaType
from platforms.http import Request, Response, error_response
from platforms.verifiers import KeysUnavailable, Refused
from relay.callbacks.page import EXPIRED, LEFT_OUT, ask, shown, used
from relay.callbacks.tokens import Expired, Forged
from relay.callbacks.urls import FIRST_USE, Call, Use, refuse
from relay.concurrency import Parameters, Value, run_in_thread
from relay.events.parser import FEW, Parsed
from relay.events.payload import PayloadTooLarge
from relay.events.selection import LeftOut, Misfit
from relay.http.bodies import BodyTooLarge, BodyUnreadable, Overloaded, taking
from relay.http.incoming import Incoming
from relay.limits.admission import Admission
from relay.reports.outcomes import Outcome, Outcomes
from relay.reports.raw_deliveries import Keeper
from relay.reports.reporter import Reporter
from relay.route import Route, Wait
from relay.verify.verification import VerifiedDelivery, VerifiedWebhooks, by_url
from relay.waiting.senders import Pending, Waiting
from store.clock import MonotonicClock
from store.delivery_records import AnswerWanted
from store.errors import StoreUnavailable
from store.processes import RelayStore
from store.records import Committed, NewEvent
from store.sql.deliveries import Known

RETRY_AFTER = 10
"""Seconds after which a sender may try again if the store or a vendor's key was unavailable."""

PATIENCE = 2.2
"""Seconds, from its last byte, within which a delivery is stored or answered 503. Slack and others
want an answer within three, and deliveries that were ready earlier come first."""
_TO_STORE = 1.0
"""Seconds that are left to store a delivery after its proof, which may have had to wait for a
vendor's key."""

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
        store: RelayStore,
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
            reason = "its URL is forged, damaged, or another webhook's"
            self.reporter.record(route, incoming, 404, reason)
            return NOT_FOUND
        except Expired:
            self.reporter.record(route, incoming, 410, "its URL has expired")
            return shown(EXPIRED, incoming.wants_page)
        delivery = CallbackDelivery(self, route, incoming, call)
        if incoming.method in ("GET", "HEAD") and route.admits(incoming.remote):
            return delivery.page()
        response = delivery.response()
        assert isinstance(response, Response)  # what has a callback can't have `wait`
        return shown(response, incoming.wants_page)

    def _unknown(self, url_id: str, incoming: Incoming) -> Response:
        """No such webhook. If it was just removed, the file may be half written, so its sender
        should try again."""
        if url_id in self._unavailable or self._gone.get(url_id, 0.0) > self._clock.monotonic():
            self.reporter.count("", "unknown", 503)
            return GONE
        self.reporter.unknown(incoming, url_id)
        return NOT_FOUND


class Delivery:
    """One request to a webhook, from its arrival to its answer."""

    def __init__(self, receiver: Receiver, route: Route, incoming: Incoming):
        """`receiver`: what all deliveries share."""
        self._shared = receiver
        self._route = route
        self._name = route.webhook.name
        self._incoming = incoming
        self._request: Request | None = None
        """None until the body has been read."""
        self._until = 0.0
        """When it must have been stored, at the latest (monotonic clock)."""
        self._repeated: list[Committed] = []
        """What its events repeat, if they were looked up and all were found."""

    def response(self) -> Response | Pending:
        """Always returns one."""
        try:
            self._throttle()
            with self._incoming.read(self._route) as request:
                self._request = request
                self._until = self._incoming.arrived_at + PATIENCE
                return self._received(request)
        except Exception as error:
            return self._failed(error)

    def _received(self, request: Request) -> Response | Pending:
        """Verify, parse, select, store, answer."""
        route = self._route
        with route.span(request) as receiving:
            challenge = route.challenge(request)
            if challenge:
                return self._challenged(challenge, route.challenge_verifies)
            verified = self._verify(request)
            parsed = self._parse(verified)
            challenge = route.signed_challenge(parsed.body)
            if challenge:
                return self._challenged(challenge, verifies=True)
            self._refuse_before_challenge()
            events = self._events(parsed, receiving.traceparent)
            selected = self._with_answer(self._select(events))
            committed = self._store(selected)
            receiving.set(events=len(committed))
            all_filtered = len(events) > 0 and not selected
            return self._accepted(parsed, selected, committed, all_filtered)

    # --- step by step

    def _throttle(self) -> None:
        """Raises _MethodNotAllowed, _AddressRefused or _TooMany if the body shouldn't even be
        read."""
        if self._incoming.method not in self._route.methods:
            raise _MethodNotAllowed
        if not self._route.admits(self._incoming.remote):
            raise _AddressRefused("the address is not in allow_ips", 403)
        seconds = self._shared.admission.wait(self._name, self._incoming.sender)
        if seconds:
            raise _TooMany(seconds)

    def _verify(self, request: Request) -> VerifiedDelivery:
        """Raises Refused, BadBody or KeysUnavailable."""
        if request.method not in self._route.platform.methods:
            raise Refused("no challenge in the request")
        try:
            verified = self._route.verification.verify(request)
        except BadBody:  # for platforms whose proof is in the body
            self._proves_nothing()
            raise
        # Waiting for a vendor's key mustn't use up the time for storing what it has proven.
        self._until = max(self._until, time.monotonic() + _TO_STORE)
        return verified

    def _parse(self, verified: VerifiedDelivery) -> Parsed:
        """Raises BadBody, Refused before a challenge that the webhook needs, or Overloaded."""
        parser = self._route.parser
        try:
            return self._run(parser.is_large(verified), parser.parse, verified)
        except BadBody:
            self._refuse_before_challenge()
            raise

    def _refuse_before_challenge(self) -> None:
        """If only a challenge can verify the webhook, nothing else counts before it. Raises Refused
        or StoreUnavailable."""
        route, verified = self._route, self._shared.verified
        if route.needs_challenge and not verified.is_verified(
            route.webhook, route.key, self._until
        ):
            raise Refused("not verified yet: no challenge has arrived")

    def _events(self, parsed: Parsed, traceparent: str | None) -> list[NewEvent]:
        """Raises BadBody, Overloaded or StoreUnavailable."""
        parser = self._route.parser
        takes_long = parser.takes_long(parsed)
        now, remote = self._shared.store.now(), self._incoming.recorded_remote
        return self._run(takes_long, parser.events, parsed, now, traceparent, remote)

    def _select(self, events: list[NewEvent]) -> list[NewEvent]:
        """The events that are stored, or are to be; records the others. Raises _TooMany, Misfit,
        PayloadTooLarge, Overloaded or StoreUnavailable."""
        route, reporter = self._route, self._shared.reporter
        takes_long = route.selection.takes_long(events)
        # Anyone who has seen a delivery can send it again: it neither counts against `accept` nor
        # is evaluated again, if that takes long.
        known = self._known(events) if takes_long or route.accept is not None else {}
        if all(event.delivery_id in known for event in events):
            self._repeated = [known[event.delivery_id].committed for event in events]  # type: ignore[index]
            return events
        if route.accept is not None:
            self._take(route.accept)
        selected = self._run(takes_long, route.selection.of, events, known)
        reporter.left_out(route, self._incoming, route.filtered_status, selected.filtered)
        misfits = [f"{reason} ({_NOT_TOLD})" for reason in selected.misfits.reasons]
        left_out = LeftOut(selected.misfits.number, misfits)
        reporter.misfits(route, self._incoming, self._request, left_out)
        return selected.events

    def _known(self, events: list[NewEvent]) -> Mapping[str, Known]:
        """Delivery id → the event that has it. Raises StoreUnavailable."""
        ids = [event.delivery_id for event in events if event.delivery_id is not None]
        return self._shared.store.deliveries.known(self._name, ids, self._until)

    def _take(self, accept: Accept) -> None:
        """Raises _TooMany."""
        seconds = self._shared.admission.take(self._name, accept)
        if seconds:
            raise _TooMany(seconds)

    def _with_answer(self, events: list[NewEvent]) -> list[NewEvent]:
        """The events. If the sender waits for a workflow, and there is room for it, the first asks
        for the answer."""
        wait = self._route.wait
        if wait is None or not events or not self._shared.waiting.has_room(self._name):
            return events
        until = events[0].received_at + int(wait.seconds * 1000)
        return [replace(events[0], answer=AnswerWanted(wait.output, until)), *events[1:]]

    def _store(self, events: list[NewEvent]) -> list[Committed]:
        """Raises Overloaded or StoreUnavailable."""
        if not events:
            return []
        if self._repeated:
            return self._repeated
        turn = taking(self._route.turn, self._until) if len(events) > FEW else nullcontext()
        with turn:
            return self._shared.store.deliveries.append(events, self._until)

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

    # --- the answers

    def _accepted(
        self,
        parsed: Parsed,
        events: list[NewEvent],
        committed: list[Committed],
        all_filtered: bool,
    ) -> Response | Pending:
        """The response to a proven delivery, whether or not `only` let any of its events through.
        `events`: those that were committed."""
        route, shared = self._route, self._shared
        shared.reporter.committed(route, self._incoming, committed)
        if route.proves_sender and not all(one.duplicate for one in committed):
            shared.admission.proven(self._name, self._incoming.sender)
        if not shared.verified.is_known(route.key):
            self._mark_if_possible()
        if route.wait is not None and committed:
            return self._pending(route.wait, events[0], committed[0])
        return route.response(committed, parsed.body, all_filtered)

    def _pending(self, wait: Wait, event: NewEvent, committed: Committed) -> Pending:
        """The wait for the workflow of the event, which was stored or repeats another."""
        until = self._until - PATIENCE + wait.seconds
        return Pending(
            committed.event_id, self._name, wait.respond, event.answer, until, committed.duplicate
        )

    def _challenged(self, response: Response, verifies: bool) -> Response:
        """Platforms repeat their challenges: they are always answered. Raises StoreUnavailable."""
        if verifies and not self._shared.verified.is_known(self._route.key):
            self._mark()
        self._shared.reporter.challenged(self._route, self._incoming, response.status)
        return response

    def _mark(self) -> None:
        """Records that the webhook is verified. Raises StoreUnavailable."""
        route, shared = self._route, self._shared
        shared.verified.mark(route.webhook, route.key, shared.store.now(), self._until)

    def _mark_if_possible(self) -> None:
        """The same; if the store is unavailable, the next delivery records it."""
        try:
            self._mark()
        except StoreUnavailable:
            structlog.get_logger().warning(
                "can't note that the webhook is verified", webhook=self._name
            )

    def _counted(self, outcome: Outcome, response: Response) -> Response:
        self._shared.reporter.count(self._name, outcome, response.status)
        return response

    def _proves_nothing(self) -> None:
        """Counts against the sender."""
        size = 0 if self._request is None else len(self._request.body)
        self._shared.admission.failed(self._name, self._incoming.sender, size)

    def _failed(self, error: Exception) -> Response:
        """The response to a delivery that was not accepted."""
        match error:
            case _TooMany():
                return self._counted("limited", _too_many(error.seconds))
            case _MethodNotAllowed():
                return self._method_not_allowed()
            case Refused():
                return self._refused(error)
            case BodyTooLarge() | BodyUnreadable():  # nothing is proven of a body that wasn't read
                self._proves_nothing()
                return self._malformed(error)
            case BadBody():
                return self._malformed(error)
            case Misfit():
                left_out = LeftOut(1, [error.reason])
                self._shared.reporter.misfits(self._route, self._incoming, self._request, left_out)
                return error_response(422, "schema_mismatch", str(error))
            case StoreUnavailable():
                self._shared.reporter.log("the store can't take a delivery", self._name, error)
                return self._counted("store_unavailable", UNAVAILABLE)
            case KeysUnavailable() | Overloaded():
                self._shared.reporter.log("a delivery can't be accepted now", self._name, error)
                return self._recorded(str(error), UNAVAILABLE)
            case _:
                # A bug of ours must not lose the delivery: ask the sender to try again.
                self._shared.reporter.log("a delivery failed", self._name, error, exc_info=error)
                return self._recorded("an error in the bridge: see the relay's log", UNAVAILABLE)

    def _recorded(self, reason: str, response: Response) -> Response:
        """The response, whose reason people see."""
        self._shared.reporter.record(self._route, self._incoming, response.status, reason)
        return response

    def _method_not_allowed(self) -> Response:
        allowed = ", ".join(sorted(self._route.methods))
        response = error_response(405, "method_not_allowed", f"use {allowed}", ("Allow", allowed))
        return self._recorded(f"the method {self._incoming.method}; use {allowed}", response)

    def _refused(self, refused: Refused) -> Response:
        route, reporter = self._route, self._shared.reporter
        if not isinstance(refused, _AddressRefused):
            self._proves_nothing()
        kept_id = reporter.keep(route, self._incoming, self._request, refused)
        reporter.record(route, self._incoming, refused.status, refused.reason, kept_id)
        return route.refusal(refused.status)

    def _malformed(self, error: BadBody | BodyTooLarge | BodyUnreadable) -> Response:
        reason = str(error)
        match error:
            case BodyTooLarge() | PayloadTooLarge():
                response = error_response(413, "body_too_large", reason)
            case UnreadableMediaType():
                response = error_response(415, "unsupported_media_type", reason)
                given = None if self._request is None else self._request.headers.get("content-type")
                reason += f": {given}"
            case _:
                response = error_response(400, "malformed_body", reason)
        return self._recorded(reason, response)


class CallbackDelivery(Delivery):
    """A call of a URL that names one task."""

    def __init__(self, receiver: Receiver, route: Route, incoming: Incoming, call: Call):
        """`call`: what proves the request."""
        super().__init__(receiver, route, incoming)
        self._call = call

    def page(self) -> Response:
        """The page at the URL, for people."""
        incoming = self._incoming
        seconds = self._shared.admission.page(self._name, incoming.sender)
        if seconds:
            return shown(self._counted("limited", _too_many(seconds)), incoming.wants_page)
        at = self._used_at()
        if at is None:
            return self._counted("page", ask(self._call.allowed(incoming.query)))
        return self._counted("page", shown(used(at), incoming.wants_page))

    def _verify(self, request: Request) -> VerifiedDelivery:
        if not self._call.is_signed:  # anyone can make up ids
            self._shared.admission.failed(self._name, self._incoming.sender)
        return by_url(self._call, request)

    def _events(self, parsed: Parsed, traceparent: str | None) -> list[NewEvent]:
        events = super()._events(parsed, traceparent)
        use = self._use()
        return [self._call.addressed(event, use) for event in events]

    def _accepted(
        self,
        parsed: Parsed,
        events: list[NewEvent],
        committed: list[Committed],
        all_filtered: bool,
    ) -> Response | Pending:
        response = super()._accepted(parsed, events, committed, all_filtered)
        if any(one.duplicate for one in committed):
            return used(self._used_at())
        if all_filtered and self._incoming.wants_page:
            return LEFT_OUT
        return response

    def _used_at(self) -> int | None:
        """When the URL was used (Unix milliseconds); None if it wasn't, or that can't be read now."""
        self._until = time.monotonic() + _TO_STORE
        with suppress(StoreUnavailable):
            return self._use().at
        return None

    def _use(self) -> Use:
        """Which use of its task's URLs the call is. Without a signature no use shows: anyone can
        make up ids. Raises StoreUnavailable."""
        if not self._call.is_signed:
            return FIRST_USE
        return self._call.find_use(self._used)

    def _used(self, delivery_ids: Sequence[str]) -> Mapping[str, int]:
        """Delivery id → when it arrived, of those that are known. Raises StoreUnavailable."""
        known = self._shared.store.deliveries.known(self._name, delivery_ids, self._until)
        return {delivery_id: one.received_at for delivery_id, one in known.items()}


def _too_many(seconds: int) -> Response:
    again = ("Retry-After", str(seconds))
    return error_response(429, "too_many_requests", "try again later", again)
