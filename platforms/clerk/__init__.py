"""Clerk, which signs by Standard Webhooks."""

from platforms.standard_webhooks import StandardWebhooksPlatform


# https://clerk.com/docs/guides/development/webhooks/overview
class Clerk(StandardWebhooksPlatform):
    name = "clerk"
    title = "Clerk"
    purpose = "users, organisations and sessions"
    types = ("$.type",)
    telling = ("$.data.id",)


PLATFORM = Clerk()
