"""PagerDuty, version 3 webhooks."""

from relay.platform import Platform, first_of, in_body, in_header
from relay.verifiers import Hmac

# https://developer.pagerduty.com/docs/verifying-webhook-signatures
PLATFORM = Platform(
    name="pagerduty",
    verifier=Hmac(header="X-PagerDuty-Signature", prefix="v1=", separator=","),
    delivery_id=first_of(in_header("X-Webhook-Id"), in_body("event", "id")),
)
