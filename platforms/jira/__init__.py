"""Jira Cloud."""

from platforms.declaration import Platform, in_header
from platforms.verifiers import Hmac

# https://developer.atlassian.com/cloud/jira/platform/webhooks/#secure-admin-webhooks
PLATFORM = Platform(
    name="jira",
    title="Jira",
    purpose="issues created, updated or moved",
    made_by="us",
    verifier=Hmac(header="X-Hub-Signature", prefix="sha256="),
    header_id=in_header("X-Atlassian-Webhook-Identifier"),
)
