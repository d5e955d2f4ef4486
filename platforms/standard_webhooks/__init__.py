"""Senders of Standard Webhooks, such as those that use Svix. The secret is ``whsec_…``, or the public ``whpk_…``."""

from platforms.declaration import Platform, in_header
from platforms.verifiers import StandardWebhooks
from platforms.verifiers.standard_webhooks import find_secret_problem

# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
PLATFORM = Platform(
    name="standard-webhooks",
    title="Standard Webhooks",
    purpose="anyone who sends by this standard, such as users of Svix",
    secret_label="Signing secret",
    verifier=StandardWebhooks(),
    tolerance=300,
    header_id=in_header("webhook-id", "svix-id"),
    find_secret_problem=find_secret_problem,
)
