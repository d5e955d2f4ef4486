"""PagerDuty, version 3 webhooks."""

from platforms.declaration import Platform, in_body, in_header
from platforms.verifiers import Hmac

# https://developer.pagerduty.com/docs/verifying-webhook-signatures
PLATFORM = Platform(
    name="pagerduty",
    verifier=Hmac(header="X-PagerDuty-Signature", prefix="v1=", separator=","),
    delivery_id=in_body("event", "id"),
    header_id=in_header("X-Webhook-Id"),
)
