"""GitHub."""

from typing import Any

from platforms.base import MB, Platform
from platforms.summary import Value
from platforms.verifiers import Hmac

_TIMELESS = frozenset({
    "blocked_user", "client_payload", "inputs", "member", "membership", "new_property_values", "ref_type",
    "repositories_added", "requested_action", "team", "thread", "zen",
})  # fmt: skip
"""Keys of events without their own time or id: dispatches, buttons, memberships, settings, branches
created and deleted."""
_TIMED = frozenset({"discussion", "issue", "pull_request"})
_CONTEXT = frozenset({"action", "enterprise", "organization", "sender"})


# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
class GitHub(Platform):
    name = "github"
    title = "GitHub"
    purpose = "pushes, pull requests, issues and releases"
    # https://cli.github.com/manual/gh_api
    command = (
        "gh api repos/OWNER/REPO/hooks -f name=web -F active=true -f 'events[]=push' "
        "-f config[url]={url} -f config[content_type]=json -f config[secret]={secret}"
    )
    # The name of the event is in a header, which isn't signed: it is known by what the body has.
    # https://docs.github.com/en/webhooks/webhook-events-and-payloads
    types = (
        Value("$.pusher", word="push"),
        Value("$.review", word="pull_request_review"),
        Value("$.thread", word="pull_request_review_thread"),
        Value("$.comment.pull_request_url", word="pull_request_review_comment"),
        Value("$.comment.issue_url", word="issue_comment"),
        Value("$.comment.discussion_id", word="discussion_comment"),
        Value("$.comment", word="commit_comment"),
        Value("$.discussion", word="discussion"),
        Value("$.pull_request", word="pull_request"),
        Value("$.issue", word="issues"),
        Value("$.release", word="release"),
        Value("$.workflow_job", word="workflow_job"),
        Value("$.deployment_status", word="deployment_status"),
        Value("$.deployment", word="deployment"),
        Value("$.check_run", word="check_run"),
        Value("$.check_suite", word="check_suite"),
        Value("$.workflow_run", word="workflow_run"),
        Value("$.client_payload", word="repository_dispatch"),
        Value("$.inputs", word="workflow_dispatch"),
        Value("$.master_branch", word="create"),
        Value("$.ref_type", word="delete"),
        Value("$.forkee", word="fork"),
        Value("$.branches", word="status"),
        Value("$.alert", word="alert"),
        Value("$.member", word="member"),
        Value("$.zen", word="ping"),
        "$.action",
    )
    summary = (
        "$.action",
        "$.repository.full_name",
        Value("$.ref", without="refs/heads/"),
        Value("$.pull_request.number", before="#"),
        "$.pull_request.title",
        Value("$.issue.number", before="#"),
        "$.issue.title",
        Value("$.discussion.number", before="#"),
        "$.discussion.title",
        "$.release.tag_name",
        "$.workflow_job.name",
        "$.workflow_job.conclusion",
        "$.deployment.environment",
        "$.deployment_status.state",
        "$.check_run.name",
        "$.check_run.conclusion",
        "$.check_suite.conclusion",
        "$.workflow_run.name",
        "$.workflow_run.conclusion",
        "$.context",
        "$.state",
        "$.zen",
    )
    made_by = "us"
    # https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks#respond-within-10-seconds
    answer_within = 10
    verifier = Hmac(header="X-Hub-Signature-256", prefix="sha256=")
    mistaken_key = (r"gh[a-z]_|github_pat_", "an access token, not the webhook's secret")
    bodies = "json or form"
    # https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap
    max_body = 25 * MB
    id_headers = ("x-github-delivery",)

    def may_come_again(self, value: Any) -> bool:
        """An event without a time may. All others have a time or an id in the body, so a digest is
        enough."""
        if not isinstance(value, dict):
            return False
        if _CONTEXT.issuperset(value) or not _TIMELESS.isdisjoint(value):
            return True
        if value.get("action") == "rerequested" and "check_run" in value:
            return True
        # For issues and pull requests, which have a time, the label is a detail.
        return "label" in value and _TIMED.isdisjoint(value)


PLATFORM = GitHub()
