"""Square. The secret is the subscription's signature key."""

from platforms.base import Platform
from platforms.verifiers import Hmac


# https://developer.squareup.com/docs/webhooks/step3validate
class Square(Platform):
    name = "square"
    title = "Square"
    purpose = "payments, orders and refunds"
    types = ("$.type",)
    summary = ("$.data.id", "$.data.object.payment.status", "$.data.object.refund.status")
    secret_label = "Signature key"
    verifier = Hmac(header="x-square-hmacsha256-signature", encoding="base64", signed="{url}{body}")
    id_at = ("event_id",)


PLATFORM = Square()
