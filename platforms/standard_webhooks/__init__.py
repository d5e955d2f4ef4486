"""Senders of Standard Webhooks, such as those that use Svix. The secret is ``whsec_…``, or the public ``whpk_…``."""

from platforms.base import Platform
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
    id_headers = ("webhook-id", "svix-id")

    def find_secret_problem(self, secret: str) -> str | None:
        return problem_of(public_key if secret.startswith(PUBLIC_KEY) else secret_key, secret)


PLATFORM = StandardWebhooksPlatform()
