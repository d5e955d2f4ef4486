"""Shopify."""

import re
from typing import Any

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import Hmac

_TIME = re.compile(r"(?:_at|At)\Z", re.ASCII)
_TIME_IN_XML = re.compile(r"-at[ >]", re.ASCII)


def _has_time(value: Any) -> bool:
    """Whether the event, or the object in it, says when it was changed."""
    if not isinstance(value, dict):
        return isinstance(value, str) and _TIME_IN_XML.search(value) is not None
    inner = [name for item in value.values() if isinstance(item, dict) for name in item]
    return any(map(_TIME.search, [*value, *inner]))


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
    # https://github.com/Shopify/shopify-app-js: each header may come without X-.
    verifier = Hmac(
        header="X-Shopify-Hmac-Sha256", further=("Shopify-Hmac-Sha256",), encoding="base64"
    )
    secret_headers = frozenset({"shopify-hmac-sha256"})
    mistaken_key = (r"shp(?:at|ca|pa)_", "an access token, not the app's secret")
    bodies = "declared"  # JSON, or XML
    id_headers = ("x-shopify-event-id", "shopify-event-id")
    # An order that is created and paid at once is sent under two topics. A webhook that names one
    # in `headers:` accepts only that one.
    topic_headers = ("x-shopify-topic", "shopify-topic")

    def may_come_again(self, value: Any) -> bool:
        """What has no time may, such as an inventory level that is disconnected."""
        return not _has_time(value)


PLATFORM = Shopify()
