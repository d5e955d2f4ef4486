"""A webhook ready to receive: everything that follows from its definition is computed once."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from config.settings import Settings
from config.target_keys import Respond
from config.webhooks import Definitions, Webhook
from platforms import PLATFORMS
from platforms.base import Accepted, Platform
from platforms.bodies import Body
from platforms.http import Request, Response, error_response, json_response
from platforms.verifiers import Fetch
from platforms.verifiers.protocol import no_fetch
from relay.callbacks.urls import ACCEPT_BY_ID, CallbackUrls
from relay.events.parser import Parser
from relay.events.payload import CONDUCTOR_PAYLOAD
from relay.events.selection import Selection
from relay.limits.addresses import is_within, read_address
from relay.verify.vendor_keys import KeySource
from relay.verify.verification import Verification, VerifiedWebhooks, credentials_of
from store.records import Committed
from store.tracing import TRACE_HEADERS, Span, span

PATH = "/webhook/"
CONDUCTORS_PATH = "/api/webhook/"
"""The same path in Conductor's documentation."""
_UNAUTHORIZED = error_response(401, "unauthorized", "the delivery could not be verified")
_FORBIDDEN = error_response(403, "forbidden", "not allowed")

_REPLAY = (
    "this delivery has come before, and its event {0}, so it does nothing: "
    "fix the cause, then replay the event (webhook-bridge events replay {1})"
)


@dataclass(frozen=True, slots=True)
class Wait:
    """For which a sender waits: the end of a workflow."""

    seconds: float
    output: str
    """JSONPath into the workflow's output."""
    respond: Respond


class Route:
    """One webhook's URL."""

    def __init__(
        self,
        webhook: Webhook,
        platform: Platform,
        public_url: str | None,
        fetch: Fetch = no_fetch,
        conductor_payload: int = CONDUCTOR_PAYLOAD,
        follow_traces: bool = False,
    ):
        """`conductor_payload`: bytes of the largest output or input that Conductor accepts.
        `follow_traces`: whether a delivery may name the trace it belongs to."""
        self.webhook = webhook
        self.key = VerifiedWebhooks.key(webhook)
        self.platform = platform
        self.credentials = credentials_of(webhook, platform, fetch)
        self.verification = Verification(webhook, platform, fetch)
        self.needs_challenge = self.verification.needs_challenge
        """Whether only an answered challenge verifies the webhook."""
        self.challenge_verifies = self.needs_challenge or platform.challenge_proves
        """Whether an answered unsigned challenge verifies it, though anyone may send one that
        proves nothing."""
        self.callback = _callback_urls(webhook)
        """Its URLs, if each names one task; it has no other."""
        self.proves_sender = self.callback is None or self.callback.is_signed
        """Whether an accepted delivery proves who sent it: anyone can make up a workflow's id."""
        self.accept = webhook.accept or (None if self.proves_sender else ACCEPT_BY_ID)
        """How many proven deliveries it takes; None for any number."""
        self.methods = self._methods()
        """The methods of deliveries and challenges, and of a callback's page."""
        self.max_body = self._max_body(conductor_payload)
        self._follow_traces = follow_traces
        self.parser = Parser(
            webhook,
            platform,
            self.verification.secret_headers | (frozenset() if follow_traces else TRACE_HEADERS),
            conductor_payload,
            self.verification.description or None,
        )
        self.selection = Selection(webhook)
        self.turn = threading.RLock()
        """For what takes long: one delivery at a time, so that a webhook's own deliveries wait for
        it and no others."""
        self.wait = _wait_of(webhook.respond)
        """What senders wait for; None if they are answered at once."""
        self._configured_response = None if self.wait else _configured_response(webhook.respond)
        self._public_urls = {
            path: public_url_of(webhook, public_url, path) for path in (PATH, CONDUCTORS_PATH)
        }

    def _methods(self) -> frozenset[str]:
        methods = self.platform.methods | self.platform.challenge_methods
        if self.credentials.challenge is not None:
            methods |= {"GET"}
        if self.credentials.answers_head or self.callback is not None:
            methods |= {"GET", "HEAD"}
        return methods

    def _max_body(self, conductor_payload: int) -> int:
        largest = self.webhook.max_body
        if largest is None:
            largest = self.platform.max_body
        # A split array may be larger than what each of its elements may be.
        return largest if self.webhook.split else min(largest, conductor_payload)

    def challenge(self, request: Request) -> Response | None:
        """The answer to an unsigned challenge; None if this isn't one. May raise Refused."""
        return self.platform.challenge(request, self.credentials)

    def signed_challenge(self, body: Body) -> Response | None:
        """The answer to a challenge in a verified body."""
        return self.platform.signed_challenge(body.value, self.credentials)

    def public_url(self, path: str) -> str | None:
        """The URL that the platform calls, if configured. `path`: which of the relay's two paths
        was used."""
        return self._public_urls[path]

    def span(self, request: Request) -> AbstractContextManager[Span]:
        """A stranger's trace is not continued: its flag would decide whether ours is sampled."""
        headers = request.headers if self._follow_traces else {}
        return span("receive", "SERVER", headers, webhook=self.webhook.name)

    def admits(self, remote: str | None) -> bool:
        """Whether the address may post."""
        if not self.webhook.allow_ips:
            return True
        address = read_address(remote)
        return address is not None and is_within(address, self.webhook.allow_ips)

    def refusal(self, status: int) -> Response:
        """The answer, with status 401 or 403, to a delivery that isn't proven."""
        if status != 401:
            return _FORBIDDEN
        return Response(401, b"", None) if self.platform.empty_refusals else _UNAUTHORIZED

    @property
    def filtered_status(self) -> int:
        """The status of the answer to an event that `only` doesn't let through."""
        return 200 if self._configured_response is None else self._configured_response.status

    def response(self, committed: Sequence[Committed], body: Body, all_filtered: bool) -> Response:
        """The response to an accepted delivery; `only` may have let none of its events through."""
        if self._configured_response is not None:
            return self._configured_response
        fields = self._fields(committed, all_filtered)
        ids = tuple(one.event_id for one in committed)
        return self.platform.respond(Accepted(ids, body.value, fields)) or json_response(fields)

    def _fields(self, committed: Sequence[Committed], all_filtered: bool) -> dict[str, Any]:
        if all_filtered:
            return {"filtered": True}
        ids = [one.event_id for one in committed]
        is_single = len(ids) == 1 and not self.webhook.split
        fields: dict[str, Any] = {"eventId": ids[0]} if is_single else {"eventIds": ids}
        if not committed or not all(one.duplicate for one in committed):
            return fields
        fields["duplicate"] = True
        came_to = committed[0].came_to
        if is_single and came_to is not None:
            fields |= {"status": came_to, "message": _REPLAY.format(came_to, ids[0])}
        return fields


def _callback_urls(webhook: Webhook) -> CallbackUrls | None:
    return None if webhook.callback is None else CallbackUrls(webhook.name, webhook.callback)


def _wait_of(respond: Respond | None) -> Wait | None:
    if respond is None or respond.wait is None or respond.output is None:
        return None
    return Wait(respond.wait, respond.output, respond)


def _configured_response(respond: Respond | None) -> Response | None:
    """The response that `respond` gives to all deliveries; None without it."""
    if respond is None:
        return None
    if isinstance(respond.body, str):
        return response_with(respond, respond.body.encode("utf-8", "replace"), is_text=True)
    return response_with(respond, json.dumps(respond.body).encode(), is_text=False)


def public_url_of(webhook: Webhook, public_url: str | None, path: str = PATH) -> str | None:
    """The URL that platforms call, if the definition or BRIDGE_PUBLIC_URL sets it."""
    if webhook.public_url is not None:
        return webhook.public_url
    return f"{public_url.rstrip('/')}{path}{webhook.url_id}" if public_url else None


def with_query(url: str, query: str) -> str:
    """The URL with this query, instead of its own, if there is one."""
    return f"{url.partition('?')[0]}?{query}" if query else url


def routes_of(
    definitions: Definitions,
    settings: Settings,
    keys: KeySource,
    platforms: Mapping[str, Platform] = PLATFORMS,
) -> Mapping[str, Route]:
    """Last part of the URL → route."""
    return MappingProxyType(
        {
            webhook.url_id: Route(
                webhook,
                platforms[webhook.platform],
                settings.bridge_public_url,
                keys(webhook.name),
                settings.bridge_conductor_payload,
                settings.bridge_follow_traces,
            )
            for webhook in definitions.webhooks
        }
    )


def response_with(respond: Respond, body: bytes, is_text: bool) -> Response:
    """The response that `respond` asks for, with this body: text, or JSON."""
    if not body:
        return Response(respond.status, b"", respond.content_type)
    content_type = respond.content_type or (
        "text/plain; charset=utf-8" if is_text else "application/json"
    )
    return Response(respond.status, body, content_type, (("X-Content-Type-Options", "nosniff"),))
