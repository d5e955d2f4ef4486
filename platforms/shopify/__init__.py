"""Shopify."""

from typing import Any

from platforms.base import Platform, digest
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers import Hmac


# https://shopify.dev/docs/apps/build/webhooks/subscribe/https#step-2-validate-the-origin-of-your-webhook-to-ensure-its-coming-from-shopify
class Shopify(Platform):
    name = "shopify"
    title = "Shopify"
    purpose = "orders, products and customers of a shop"
    # The topic is in a header, which isn't signed.
    types = (
        Value("$.order_number", word="order"),
        Value("$.financial_status", word="order"),
        Value("$.order_id", word="refund or fulfillment"),
        Value("$.variants", word="product"),
        Value("$.inventory_item_id", word="inventory level"),
        Value("$.orders_count", word="customer"),
        Value("$.line_items", word="checkout or cart"),
    )
    summary = (
        "$.name",
        "$.title",
        "$.total_price",
        "$.currency",
        "$.financial_status",
        "$.fulfillment_status",
        "$.id",
    )
    secret_label = "Client secret"
    # https://shopify.dev/docs/apps/build/webhooks/subscribe/https
    answer_within = 5
    verifier = Hmac(header="X-Shopify-Hmac-Sha256", encoding="base64")
    mistaken_key = (r"shp(?:at|ca|pa)_", "an access token, not the app's secret")
    bodies = "declared"  # JSON, or XML

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """An order that is created and paid at once is sent twice with the same bytes, under two topics: both are
        events. The topic isn't signed; a webhook that names it in `headers:` accepts only that one."""
        topic = request.headers.get("x-shopify-topic")
        return digest(topic, request.body) if topic else None

    def header_id(self, request: Request, value: Any) -> str | None:
        """One event may be sent under several topics, each a separate delivery."""
        identifier = request.headers.get("x-shopify-event-id")
        topic = request.headers.get("x-shopify-topic")
        return f"{identifier} {topic}" if identifier and topic else identifier


PLATFORM = Shopify()
