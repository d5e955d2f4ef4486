"""Square. The secret is the subscription's signature key."""

from platforms.declaration import Platform, in_body
from platforms.verifiers import Hmac

# https://developer.squareup.com/docs/webhooks/step3validate
PLATFORM = Platform(
    name="square",
    title="Square",
    purpose="payments, orders and refunds",
    secret_label="Signature key",
    verifier=Hmac(header="x-square-hmacsha256-signature", encoding="base64", signed="{url}{body}"),
    delivery_id=in_body("event_id"),
)
