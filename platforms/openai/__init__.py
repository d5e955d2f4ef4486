"""OpenAI, which signs by Standard Webhooks."""

from platforms.standard_webhooks import StandardWebhooksPlatform


# https://platform.openai.com/docs/guides/webhooks
class OpenAI(StandardWebhooksPlatform):
    name = "openai"
    title = "OpenAI"
    purpose = "responses, batches and fine-tuning jobs completed"
    types = ("$.type",)
    summary = ("$.data.id",)


PLATFORM = OpenAI()
