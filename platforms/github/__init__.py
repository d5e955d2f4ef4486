"""GitHub."""

from typing import Any

from platforms.declaration import MB, Platform, digest, in_header
from platforms.request import Request
from platforms.verifiers import Hmac

_TIMELESS = frozenset({
    "blocked_user", "client_payload", "inputs", "member", "membership", "new_property_values", "ref_type",
    "repositories_added", "requested_action", "team", "thread", "zen",
})  # fmt: skip
"""Keys of events without a time or an id of their own: dispatches, buttons, memberships, settings, branches that come
and go."""
_TIMED = frozenset({"discussion", "issue", "pull_request"})
_CONTEXT = frozenset({"action", "enterprise", "organization", "sender"})


def _may_come_again(value: dict[str, Any]) -> bool:
    if _CONTEXT.issuperset(value) or not _TIMELESS.isdisjoint(value):
        return True
    if value.get("action") == "rerequested" and "check_run" in value:
        return True
    # Of an issue or pull request the label is a detail, and those have a time.
    return "label" in value and _TIMED.isdisjoint(value)


def timeless(request: Request, value: Any) -> str | None:
    """Such an event may come again, the same to the byte, and is another one: there the header tells them apart, though
    nobody signs it. All others have a time or an id in their body, and need no more than a digest of it."""
    identifier = request.headers.get("x-github-delivery")
    if not identifier or not isinstance(value, dict):
        return None
    return digest(identifier, request.body) if _may_come_again(value) else None


# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
PLATFORM = Platform(
    name="github",
    title="GitHub",
    purpose="pushes, pull requests, issues and releases",
    made_by="us",
    verifier=Hmac(header="X-Hub-Signature-256", prefix="sha256="),
    bodies="json or form",
    delivery_id=timeless,
    header_id=in_header("X-GitHub-Delivery"),
    # https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap
    max_body=25 * MB,
    mistaken_key=(r"gh[a-z]_|github_pat_", "an access token, not the webhook's secret"),
)
