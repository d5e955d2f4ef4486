"""Stripe."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import TimedHmac


# https://docs.stripe.com/webhooks#verify-manually
class Stripe(Platform):
    name = "stripe"
    title = "Stripe"
    purpose = "payments, checkouts, invoices and subscriptions"
    command = "stripe webhook_endpoints create --url {url} -d 'enabled_events[]=*'"  # it prints the signing secret
    types = ("$.type",)
    summary = (
        "$.data.object.id",
        "$.data.object.status",
        Value("$.account", before="of "),
    )
    secret_label = "Signing secret"
    verifier = TimedHmac(header="Stripe-Signature")
    tolerance = 300
    mistaken_key = (r"(?:sk|pk|rk)_(?:test|live)_", "an API key, not the endpoint's signing secret (whsec_…)")
    id_at = ("id",)


PLATFORM = Stripe()
