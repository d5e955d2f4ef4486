"""Twilio SendGrid: the Event Webhook. The secret is the public key that SendGrid shows."""

from typing import Any

from platforms.base import Platform, at, together
from platforms.http import Request
from platforms.verifiers import EcdsaP256, Timestamp
from platforms.verifiers.asymmetric import p256_key
from platforms.verifiers.public_keys import problem_of


# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
class SendGrid(Platform):
    name = "sendgrid"
    title = "SendGrid"
    purpose = "mail delivered, bounced, opened or clicked"
    types = ("$.event",)
    summary = ("$.reason", "$.category[0]", "$.sg_message_id")
    secret_label = "Verification key"
    verifier = EcdsaP256(
        header="X-Twilio-Email-Event-Webhook-Signature",
        timestamp=Timestamp("X-Twilio-Email-Event-Webhook-Timestamp"),
    )

    def find_secret_problem(self, secret: str) -> str | None:
        return problem_of(p256_key, secret)

    def delivery_id(self, request: Request, value: Any) -> str | None:
        return together([self.element_id(event) for event in value]) if isinstance(value, list) else None

    def element_id(self, element: Any) -> str | None:
        return at(element, "sg_event_id")


PLATFORM = SendGrid()
