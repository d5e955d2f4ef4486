"""Sentry: integrations' webhooks. The secret is the client secret."""

from platforms.base import Platform
from platforms.verifiers import Hmac


# https://docs.sentry.io/organization/integrations/integration-platform/webhooks/#verifying-the-signature
class Sentry(Platform):
    name = "sentry"
    title = "Sentry"
    purpose = "issues, errors and alerts"
    secret_label = "Client secret"
    verifier = Hmac(header="Sentry-Hook-Signature")


PLATFORM = Sentry()
