"""Slack: the Events API, interactivity and slash commands."""

from typing import Any

from platforms.declaration import Platform, in_body
from platforms.request import Answer, json_answer
from platforms.verifiers import Hmac, Terms, Timestamp


# https://docs.slack.dev/reference/events/url_verification
def url_verification(value: Any, _terms: Terms) -> Answer | None:
    """Slack sends it once, when the URL is entered; it is signed as every event is."""
    if isinstance(value, dict) and value.get("type") == "url_verification":
        challenge = value.get("challenge")
        if isinstance(challenge, str):
            return json_answer({"challenge": challenge})
    return None


# https://docs.slack.dev/authentication/verifying-requests-from-slack
PLATFORM = Platform(
    name="slack",
    title="Slack",
    purpose="messages, mentions, buttons and slash commands",
    secret_label="Signing secret",
    verifier=Hmac(
        header="X-Slack-Signature",
        prefix="v0=",
        signed="v0:{timestamp}:{body}",
        timestamp=Timestamp("X-Slack-Request-Timestamp"),
    ),
    tolerance=300,
    challenge_only=True,
    signed_challenge=url_verification,
    bodies="json or form",
    delivery_id=in_body("event_id"),
    mistaken_key=(r"xox[a-z]-|xapp-", "a token, not the app's signing secret"),
)
