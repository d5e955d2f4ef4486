"""Discord: interactions and webhook events. The secret is the application's public key."""

from typing import Any

from platforms.base import Accepted, Platform, at, body_with_time
from platforms.http import Request, Response, json_response
from platforms.summary import Value
from platforms.verifiers import Credentials, Ed25519, Timestamp
from platforms.verifiers.asymmetric import ed25519_hex_key
from platforms.verifiers.public_keys import problem_of

_NO_CONTENT = Response(204, b"", None)
# https://docs.discord.com/developers/interactions/receiving-and-responding#interaction-response-object-interaction-callback-type
_DEFERRED: dict[int, dict[str, Any]] = {
    2: {"type": 5},
    3: {"type": 6},
    4: {"type": 8, "data": {"choices": []}},
    5: {"type": 5},
}
"""Type of an interaction → the answer that leaves the reply to the workflow, which has 15 minutes
for it."""


def _is_webhook_event(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("event"), dict) and "token" not in value


# https://docs.discord.com/developers/interactions/overview#validating-security-request-headers
class Discord(Platform):
    name = "discord"
    title = "Discord"
    purpose = "slash commands, buttons and events of a Discord app"
    types = (
        "$.event.type",
        Value("$.data.custom_id", word="component"),
        Value("$.data.type", word="command"),
        "$.type",
    )
    summary = ("$.data.name", "$.data.custom_id", Value("$.channel_id", before="in "))
    secret_label = "Public key"
    # https://docs.discord.com/developers/interactions/receiving-and-responding
    answer_within = 3
    verifier = Ed25519(
        header="X-Signature-Ed25519", timestamp=Timestamp("X-Signature-Timestamp"), encoding="hex"
    )
    tolerance = 300

    def find_secret_problem(self, secret: str) -> str | None:
        return problem_of(ed25519_hex_key, secret)

    # https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint
    # https://docs.discord.com/developers/events/webhook-events#preparing-for-events
    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """An interaction's ping has type 1, which webhook events have too; their ping has type 0."""
        if not isinstance(value, dict) or isinstance(value.get("type"), bool):
            return None
        if value.get("type") == 1 and "event" not in value:
            return json_response({"type": 1})
        return _NO_CONTENT if value.get("type") == 0 and "event" not in value else None

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """Webhook events have no id but the event's time; each attempt is signed with its own
        time."""
        if _is_webhook_event(value):
            return body_with_time(request, value, "event", "timestamp")
        return at(value, "id")

    def respond(self, accepted: Accepted) -> Response:
        """Discord accepts only 204 for a webhook event, and expects an interaction response to the
        others within 3 s."""
        if _is_webhook_event(accepted.value):
            return _NO_CONTENT
        kind = accepted.value.get("type") if isinstance(accepted.value, dict) else None
        deferred = _DEFERRED.get(kind, {}) if isinstance(kind, int) else {}
        return json_response(deferred | accepted.fields)


PLATFORM = Discord()
