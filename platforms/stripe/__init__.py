"""Stripe."""

from platforms.declaration import Platform, in_body
from platforms.verifiers import TimedHmac

# https://docs.stripe.com/webhooks#verify-manually
PLATFORM = Platform(
    name="stripe",
    title="Stripe",
    purpose="payments, checkouts, invoices and subscriptions",
    secret_label="Signing secret",
    verifier=TimedHmac(header="Stripe-Signature"),
    tolerance=300,
    delivery_id=in_body("id"),
    mistaken_key=(r"(?:sk|pk|rk)_(?:test|live)_", "an API key, not the endpoint's signing secret (whsec_…)"),
)
