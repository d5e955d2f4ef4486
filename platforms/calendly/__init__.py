"""Calendly."""

from platforms.declaration import Platform, body_with_time
from platforms.verifiers import TimedHmac

# https://developer.calendly.com/api-docs/ZG9jOjM2MzE2MDM4-webhook-signatures
PLATFORM = Platform(
    name="calendly",
    title="Calendly",
    purpose="appointments booked or cancelled",
    made_by="us",
    secret_label="Signing key",
    verifier=TimedHmac(header="Calendly-Webhook-Signature"),
    tolerance=180,
    # Another attempt is signed with its own time; the body has the time of the event.
    delivery_id=body_with_time("created_at"),
)
