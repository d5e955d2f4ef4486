"""GoCardless. The secret is the webhook endpoint's."""

from platforms.base import Platform
from platforms.verifiers import Hmac


# https://developer.gocardless.com/getting-started/staying-up-to-date-with-webhooks#staying_up-to-date_with_webhooks
class GoCardless(Platform):
    name = "gocardless"
    title = "GoCardless"
    purpose = "direct debits, mandates and payouts"
    types = ("$.events[0].resource_type",)
    summary = (
        "$.events[0].action",
        "$.events[0].details.cause",
        "$.events[0].links.payment",
        "$.events[0].links.mandate",
    )
    made_by = "us"
    verifier = Hmac(header="Webhook-Signature")
    events_at = ("events",)
    element_id_at = ("id",)


PLATFORM = GoCardless()
