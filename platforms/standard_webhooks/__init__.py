"""Senders of Standard Webhooks, such as those that use Svix. The secret is ``whsec_…``, or the public ``whpk_…``."""

from typing import Any

from platforms.base import Platform, first_header
from platforms.http import Request
from platforms.verifiers import StandardWebhooks
from platforms.verifiers.public_keys import problem_of
from platforms.verifiers.standard_webhooks import PUBLIC_KEY, public_key, secret_key


# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
class StandardWebhooksPlatform(Platform):
    name = "standard-webhooks"
    title = "Standard Webhooks"
    purpose = "anyone who sends by this standard, such as users of Svix"
    secret_label = "Signing secret"
    verifier = StandardWebhooks()
    tolerance = 300

    def find_secret_problem(self, secret: str) -> str | None:
        return problem_of(public_key if secret.startswith(PUBLIC_KEY) else secret_key, secret)

    def header_id(self, request: Request, value: Any) -> str | None:
        return first_header(request, "webhook-id", "svix-id")


PLATFORM = StandardWebhooksPlatform()
