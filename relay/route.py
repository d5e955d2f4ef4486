"""A webhook made ready to receive: what can be worked out from its definition is worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from config.webhooks import Definitions, Webhook
from platforms import PLATFORMS
from platforms.base import Platform
from platforms.bodies import Body
from platforms.http import Request, Response
from platforms.verifiers import Fetch
from platforms.verifiers.protocol import no_fetch
from relay.addresses import is_within, read_address, without_mapped
from relay.filter import Filter, configured_response
from relay.parser import Parser
from relay.payload import CONDUCTOR_PAYLOAD
from relay.verification import Verification, VerifiedWebhooks, credentials_of
from store.tracing import TRACE_HEADERS

PATH = "/webhook/"
CONDUCTORS_PATH = "/api/webhook/"
"""The same, as Conductor's documentation names it."""


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
        """`conductor_payload`: bytes of the largest output or input that Conductor takes. `follow_traces`: whether
        a delivery may name the trace that it belongs to."""
        self.webhook = webhook
        self.key = VerifiedWebhooks.key(webhook)
        self.platform = platform
        self.credentials = credentials_of(webhook, platform, fetch)
        self.verification = Verification(webhook, platform, fetch)
        self.follow_traces = follow_traces
        dropped = self.verification.secret_headers | (frozenset() if follow_traces else TRACE_HEADERS)
        self.parser = Parser(webhook, platform, dropped, conductor_payload)
        by_get = {"GET"} if webhook.challenge is not None else frozenset()
        self.methods = platform.methods | platform.challenge_methods | by_get
        """Of deliveries and challenges."""
        largest = platform.max_body if webhook.max_body is None else webhook.max_body
        # An array that is split may be larger than each of its elements.
        self.max_body = largest if webhook.split else min(largest, conductor_payload)
        self.only = Filter(webhook.only, webhook.hide) if webhook.only else None
        """Which events are stored; None for all."""
        self.configured_response = configured_response(webhook.respond) if webhook.respond is not None else None
        """What is answered instead of the platform's usual answer."""
        self.responds_as_usual = self.configured_response is None and type(platform).respond is Platform.respond
        """Whether neither definition nor platform have an answer of their own."""
        self._networks = without_mapped(webhook.allow_ips)
        self._public_urls = {path: public_url_of(webhook, public_url, path) for path in (PATH, CONDUCTORS_PATH)}

    def challenge(self, request: Request) -> Response | None:
        """The answer to a challenge that nobody signs; None if it is none. May raise Refused."""
        return self.platform.challenge(request, self.credentials)

    def signed_challenge(self, body: Body) -> Response | None:
        """The same of a body that has been verified."""
        return self.platform.signed_challenge(body.value, self.credentials)

    def url(self, seen: Callable[[], str], query: str, path: str = PATH) -> str:
        """The URL as the platform called it: the configured one, or as it was seen; with the query as it was sent.

        `path` is the one of the relay's two under which it came.
        """
        base = self._public_urls[path] or seen()
        if not query:
            return base
        return f"{base.partition('?')[0]}?{query}"

    def admits(self, remote: str | None) -> bool:
        """Whether the address may post."""
        if not self._networks:
            return True
        address = read_address(remote)
        return address is not None and is_within(address, self._networks)


def public_url_of(webhook: Webhook, public_url: str | None, path: str = PATH) -> str | None:
    """The URL that platforms call, if the definition or the setting BRIDGE_PUBLIC_URL tells it."""
    if webhook.public_url is not None:
        return webhook.public_url
    return f"{public_url.rstrip('/')}{path}{webhook.url_id}" if public_url else None


def routes_of(
    definitions: Definitions,
    public_url: str | None,
    fetch_for: Callable[[str], Fetch] = lambda _: no_fetch,
    platforms: Mapping[str, Platform] = PLATFORMS,
    conductor_payload: int = CONDUCTOR_PAYLOAD,
    follow_traces: bool = False,
) -> Mapping[str, Route]:
    """Last part of the URL → route. `fetch_for` gives a webhook, by its name, what gets its vendor's keys."""
    return MappingProxyType(
        {
            webhook.url_id: Route(
                webhook,
                platforms[webhook.platform],
                public_url,
                fetch_for(webhook.name),
                conductor_payload,
                follow_traces,
            )
            for webhook in definitions.webhooks
        }
    )
