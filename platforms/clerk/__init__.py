"""Clerk, which signs by Standard Webhooks."""

from platforms.standard_webhooks import StandardWebhooksPlatform
from platforms.verifiers import StandardWebhooks


# https://clerk.com/docs/guides/development/webhooks/overview
class Clerk(StandardWebhooksPlatform):
    name = "clerk"
    title = "Clerk"
    purpose = "users, organisations and sessions"
    types = ("$.type",)
    summary = ("$.data.id",)
    verifier = StandardWebhooks(prefixes=("svix", "webhook"))


PLATFORM = Clerk()
