"""Jira Cloud."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import Hmac


# https://developer.atlassian.com/cloud/jira/platform/webhooks/#secure-admin-webhooks
class Jira(Platform):
    name = "jira"
    title = "Jira"
    purpose = "issues created, updated or moved"
    types = ("$.webhookEvent",)
    summary = (
        "$.issue.key",
        "$.issue.fields.summary",
        "$.changelog.items[0].field",
        Value("$.changelog.items[0].toString", before="to "),
        "$.sprint.name",
        "$.version.name",
    )
    made_by = "us"
    verifier = Hmac(header="X-Hub-Signature", prefix="sha256=")
    id_headers = ("x-atlassian-webhook-identifier",)


PLATFORM = Jira()
