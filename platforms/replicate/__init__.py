"""Replicate, which signs by Standard Webhooks."""

from platforms.standard_webhooks import StandardWebhooksPlatform


# https://replicate.com/docs/topics/webhooks/verify-webhook
class Replicate(StandardWebhooksPlatform):
    name = "replicate"
    title = "Replicate"
    purpose = "predictions and trainings completed"
    types = ("$.status",)
    summary = ("$.id",)
    secret_label = "Webhook signing key"


PLATFORM = Replicate()
