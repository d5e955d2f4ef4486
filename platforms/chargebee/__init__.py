"""Chargebee. The secret is the basic authentication's user:password, or the password."""

from platforms.base import Platform
from platforms.verifiers import Basic


# https://www.chargebee.com/docs/billing/2.0/site-configuration/webhook_settings
class Chargebee(Platform):
    name = "chargebee"
    title = "Chargebee"
    purpose = "subscriptions, invoices and payments"
    types = ("$.event_type",)
    summary = (
        "$.content.subscription.id",
        "$.content.subscription.status",
        "$.content.invoice.id",
        "$.content.invoice.status",
    )
    made_by = "us"
    secret_label = "Username and password"
    verifier = Basic()
    id_at = ("id",)


PLATFORM = Chargebee()
