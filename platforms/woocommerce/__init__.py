"""WooCommerce."""

import re
from typing import Any

from platforms.base import Platform, at
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
    topic_headers = ("x-wc-webhook-topic",)

    # https://github.com/woocommerce/woocommerce/blob/trunk/plugins/woocommerce/includes/class-wc-webhook.php
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """The ping when a webhook is saved; it is a form, and not signed."""
        return Response(200) if _PING.fullmatch(request.body) else None

    def may_come_again(self, value: Any) -> bool:
        """A deletion or an action may: they have no time."""
        return at(value, "date_modified") is None and at(value, "date_modified_gmt") is None


PLATFORM = WooCommerce()
