"""Resend, which signs by Standard Webhooks."""

from platforms.standard_webhooks import StandardWebhooksPlatform
from platforms.verifiers import StandardWebhooks


# https://resend.com/docs/webhooks/verify-webhooks-requests
class Resend(StandardWebhooksPlatform):
    name = "resend"
    title = "Resend"
    purpose = "mail sent, delivered, bounced or received"
    types = ("$.type",)
    summary = ("$.data.subject",)
    verifier = StandardWebhooks(prefixes=("svix", "webhook"))


PLATFORM = Resend()
