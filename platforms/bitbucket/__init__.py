"""Bitbucket Cloud."""

from typing import Any

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import Hmac


# https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Secure-webhooks
class Bitbucket(Platform):
    name = "bitbucket"
    title = "Bitbucket"
    purpose = "pushes, pull requests and pipelines of a repository"
    # The event's key is in a header, which isn't signed.
    types = (
        Value("$.push", word="push"),
        Value("$.comment", word="comment"),
        Value("$.pullrequest", word="pullrequest"),
        Value("$.commit_status", word="commit_status"),
        Value("$.issue", word="issue"),
        Value("$.fork", word="fork"),
    )
    summary = (
        "$.repository.full_name",
        "$.push.changes[0].new.name",
        Value("$.pullrequest.id", before="#"),
        "$.pullrequest.title",
        "$.commit_status.state",
        Value("$.issue.id", before="#"),
        "$.issue.title",
    )
    made_by = "us"
    verifier = Hmac(header="X-Hub-Signature", prefix="sha256=")
    id_headers = ("x-request-uuid",)

    def may_come_again(self, value: Any) -> bool:
        """A push may, once the branch has been reset. All other events have their own time."""
        return isinstance(value, dict) and "push" in value


PLATFORM = Bitbucket()
