"""Sentry: integrations' webhooks. The secret is the client secret."""

from platforms.base import Platform
from platforms.verifiers import Hmac


# https://docs.sentry.io/organization/integrations/integration-platform/webhooks/#verifying-the-signature
class Sentry(Platform):
    name = "sentry"
    title = "Sentry"
    purpose = "issues, errors and alerts"
    types = ("$.action",)
    telling = ("$.data.issue.shortId", "$.data.issue.title", "$.data.event.title", "$.data.error.title")
    secret_label = "Client secret"
    verifier = Hmac(header="Sentry-Hook-Signature")


PLATFORM = Sentry()
