"""Twilio SendGrid: the Event Webhook. The secret is the public key that SendGrid shows."""

from platforms.base import Platform
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
    element_id_at = ("sg_event_id",)

    def find_secret_problem(self, secret: str) -> str | None:
        return problem_of(p256_key, secret)


PLATFORM = SendGrid()
