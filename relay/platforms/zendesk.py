"""Zendesk."""

from relay.platform import Platform, in_header
from relay.verifiers import Hmac, Timestamp

# https://developer.zendesk.com/documentation/webhooks/verifying/
PLATFORM = Platform(
    name="zendesk",
    verifier=Hmac(
        header="X-Zendesk-Webhook-Signature",
        encoding="base64",
        signed="{timestamp}{body}",
        timestamp=Timestamp("X-Zendesk-Webhook-Signature-Timestamp", "rfc3339", loose=True),
    ),
    tolerance=300,
    # https://developer.zendesk.com/documentation/webhooks/creating-and-monitoring-webhooks/#request-format
    methods=frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"}),
    delivery_id=in_header("X-Zendesk-Webhook-Invocation-Id"),
)
