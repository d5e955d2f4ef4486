"""Calendly."""

from relay.platform import Platform
from relay.verifiers import TimedHmac

# https://developer.calendly.com/api-docs/ZG9jOjM2MzE2MDM4-webhook-signatures
PLATFORM = Platform(
    name="calendly",
    verifier=TimedHmac(header="Calendly-Webhook-Signature"),
    tolerance=180,
)
