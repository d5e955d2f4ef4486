"""Microsoft Teams: outgoing webhooks. The secret is the security token that Teams shows."""

from typing import Any

from platforms.declaration import Accepted, Platform, at
from platforms.request import Answer, Request, json_answer
from platforms.verifiers import Hmac, base64_key
from platforms.verifiers.public_keys import problem_of


def message(accepted: Accepted) -> Answer:
    """Teams shows the answer in the chat."""
    text = f"Received: {', '.join(accepted.event_ids)}" if accepted.event_ids else "Received"
    return json_answer({"type": "message", "text": text} | accepted.fields)


def activity_id(_request: Request, value: Any) -> str | None:
    """Ids of messages are times in milliseconds, unique in their conversation."""
    conversation, identifier = at(value, "conversation", "id"), at(value, "id")
    return f"{conversation} {identifier}" if conversation and identifier else identifier


# https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook
PLATFORM = Platform(
    name="microsoft-teams",
    title="Microsoft Teams",
    purpose="messages that mention an outgoing webhook",
    secret_label="Security token",
    verifier=Hmac(header="Authorization", encoding="base64", prefix="HMAC ", key=base64_key),
    delivery_id=activity_id,
    answer=message,
    find_secret_problem=problem_of(base64_key),
)
