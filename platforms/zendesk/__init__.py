"""Zendesk."""

from typing import Any

from platforms.base import Platform, at
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers import Hmac, Timestamp


# https://developer.zendesk.com/documentation/webhooks/verifying/
class Zendesk(Platform):
    name = "zendesk"
    title = "Zendesk"
    purpose = "tickets, users and organisations"
    types = (Value("$.type", without="zen:event-type:"),)
    summary = (
        Value("$.subject", without="zen:"),
        "$.detail.subject",
        "$.detail.status",
        "$.detail.priority",
    )
    secret_label = "Signing secret"
    verifier = Hmac(
        header="X-Zendesk-Webhook-Signature",
        encoding="base64",
        signed="{timestamp}{body}",
        timestamp=Timestamp("X-Zendesk-Webhook-Signature-Timestamp", "rfc3339"),
    )
    tolerance = 300
    # https://developer.zendesk.com/documentation/webhooks/creating-and-monitoring-webhooks/#request-format
    methods = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
    bodies = "declared"
    id_headers = ("x-zendesk-webhook-invocation-id",)

    # https://developer.zendesk.com/api-reference/webhooks/event-types/webhook-event-types/
    def delivery_id(self, request: Request, value: Any) -> str | None:
        """Zendesk's own events have an id; the account's admins decide what triggers send."""
        return at(value, "id") if (at(value, "type") or "").startswith("zen:event-type:") else None


PLATFORM = Zendesk()
