"""Shopify."""

from typing import Any

from relay.platform import Platform
from relay.request import Request
from relay.verifiers import Hmac


def event_id(request: Request, _value: Any) -> str | None:
    """One event may be sent under several topics, each of which is a delivery of its own."""
    identifier = request.headers.get("x-shopify-event-id")
    topic = request.headers.get("x-shopify-topic")
    return f"{identifier} {topic}" if identifier and topic else identifier


# https://shopify.dev/docs/apps/build/webhooks/subscribe/https#step-2-validate-the-origin-of-your-webhook-to-ensure-its-coming-from-shopify
PLATFORM = Platform(
    name="shopify",
    verifier=Hmac(header="X-Shopify-Hmac-Sha256", encoding="base64"),
    delivery_id=event_id,
)
