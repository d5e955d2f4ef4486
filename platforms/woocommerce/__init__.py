"""WooCommerce."""

import re
from typing import Any

from platforms.base import Platform, at, digest
from platforms.http import Request, Response
from platforms.summary import Value
from platforms.verifiers import Credentials, Hmac

_PING = re.compile(rb"webhook_id=[0-9]{1,20}")


# https://developer.woocommerce.com/docs/best-practices/urls-and-routing/webhooks/
class WooCommerce(Platform):
    name = "woocommerce"
    title = "WooCommerce"
    purpose = "orders, products and customers of a shop"
    types = (
        Value("$.line_items", word="order"),
        Value("$.sku", word="product"),
        Value("$.discount_type", word="coupon"),
        Value("$.username", word="customer"),
    )
    summary = (Value("$.id", before="#"), "$.status", "$.name")
    made_by = "us"
    verifier = Hmac(header="X-WC-Webhook-Signature", encoding="base64")
    id_headers = ("x-wc-webhook-delivery-id",)

    # https://github.com/woocommerce/woocommerce/blob/trunk/plugins/woocommerce/includes/class-wc-webhook.php
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """The ping when a webhook is saved; it is a form, and not signed."""
        return Response(200) if _PING.fullmatch(request.body) else None

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """Creating an order and updating it at once are sent with the same bytes, under two topics. What has no time,
        such as a deletion or an action, may come again with the same bytes: only the unsigned header tells them
        apart."""
        topic, identifier = request.headers.get("x-wc-webhook-topic"), request.headers.get("x-wc-webhook-delivery-id")
        is_timeless = at(value, "date_modified") is None and at(value, "date_modified_gmt") is None
        unsigned = [header for header in (topic, identifier if is_timeless else None) if header]
        return digest(*unsigned, request.body) if unsigned else None


PLATFORM = WooCommerce()
