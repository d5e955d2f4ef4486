"""GitHub."""

from typing import Any

from platforms.base import MB, Platform, digest, first_header
from platforms.http import Request
from platforms.verifiers import Hmac

_TIMELESS = frozenset({
    "blocked_user", "client_payload", "inputs", "member", "membership", "new_property_values", "ref_type",
    "repositories_added", "requested_action", "team", "thread", "zen",
})  # fmt: skip
"""Keys of events without their own time or id: dispatches, buttons, memberships, settings, branches created and
deleted."""
_TIMED = frozenset({"discussion", "issue", "pull_request"})
_CONTEXT = frozenset({"action", "enterprise", "organization", "sender"})


def _may_come_again(value: dict[str, Any]) -> bool:
    if _CONTEXT.issuperset(value) or not _TIMELESS.isdisjoint(value):
        return True
    if value.get("action") == "rerequested" and "check_run" in value:
        return True
    # For issues and pull requests, which have a time, the label is a detail.
    return "label" in value and _TIMED.isdisjoint(value)


# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
class GitHub(Platform):
    name = "github"
    title = "GitHub"
    purpose = "pushes, pull requests, issues and releases"
    made_by = "us"
    verifier = Hmac(header="X-Hub-Signature-256", prefix="sha256=")
    mistaken_key = (r"gh[a-z]_|github_pat_", "an access token, not the webhook's secret")
    bodies = "json or form"
    # https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap
    max_body = 25 * MB

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """An event without a time may happen again with the same bytes: only the unsigned header tells these apart. All
        others have a time or an id in the body, so a digest is enough."""
        identifier = request.headers.get("x-github-delivery")
        if not identifier or not isinstance(value, dict):
            return None
        return digest(identifier, request.body) if _may_come_again(value) else None

    def header_id(self, request: Request, value: Any) -> str | None:
        return first_header(request, "x-github-delivery")


PLATFORM = GitHub()
