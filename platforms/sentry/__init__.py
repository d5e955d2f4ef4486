"""Sentry: integrations' webhooks. The secret is the client secret."""

from typing import Any

from platforms.base import Platform, at
from platforms.verifiers import Hmac


# https://docs.sentry.io/organization/integrations/integration-platform/webhooks/#verifying-the-signature
class Sentry(Platform):
    name = "sentry"
    title = "Sentry"
    purpose = "issues, errors and alerts"
    types = ("$.action",)
    summary = ("$.data.issue.shortId", "$.data.issue.title", "$.data.event.title", "$.data.error.title")
    secret_label = "Client secret"
    answer_within = 1
    # https://github.com/getsentry/integration-platform-example: what comes of UI components, such as linking an issue,
    # has the other header.
    verifier = Hmac(header="Sentry-Hook-Signature", further=("Sentry-App-Signature",))
    id_headers = ("request-id",)

    # https://docs.sentry.io/organization/integrations/integration-platform/webhooks/issues/
    def may_come_again(self, value: Any) -> bool:
        """An issue may be assigned or resolved again."""
        return at(value, "data", "issue", "id") is not None and at(value, "action") != "created"


PLATFORM = Sentry()
