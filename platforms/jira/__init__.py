"""Jira Cloud."""

from typing import Any

from platforms.base import Platform, first_header
from platforms.http import Request
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

    def header_id(self, request: Request, value: Any) -> str | None:
        return first_header(request, "x-atlassian-webhook-identifier")


PLATFORM = Jira()
