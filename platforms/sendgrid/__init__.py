"""Twilio SendGrid: the Event Webhook. The secret is the public key that SendGrid shows."""

from typing import Any

from platforms.declaration import Platform, at, together
from platforms.request import Request
from platforms.verifiers import EcdsaP256, Timestamp
from platforms.verifiers.asymmetric import p256_key
from platforms.verifiers.public_keys import problem_of


def event_id(event: Any) -> str | None:
    return at(event, "sg_event_id")


def event_ids(_request: Request, value: Any) -> str | None:
    return together([event_id(event) for event in value]) if isinstance(value, list) else None


# https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
PLATFORM = Platform(
    name="sendgrid",
    title="SendGrid",
    purpose="mail delivered, bounced, opened or clicked",
    secret_label="Verification key",
    verifier=EcdsaP256(
        header="X-Twilio-Email-Event-Webhook-Signature",
        timestamp=Timestamp("X-Twilio-Email-Event-Webhook-Timestamp"),
    ),
    delivery_id=event_ids,
    element_id=event_id,
    find_secret_problem=problem_of(p256_key),
)
