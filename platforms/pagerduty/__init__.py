"""PagerDuty, version 3 webhooks."""

from platforms.declaration import Platform, in_body, in_header
from platforms.verifiers import Hmac

# https://developer.pagerduty.com/docs/verifying-webhook-signatures
PLATFORM = Platform(
    name="pagerduty",
    title="PagerDuty",
    purpose="incidents triggered, acknowledged or resolved",
    secret_label="Signing secret",
    verifier=Hmac(header="X-PagerDuty-Signature", prefix="v1=", separator=","),
    delivery_id=in_body("event", "id"),
    header_id=in_header("X-Webhook-Id"),
)
