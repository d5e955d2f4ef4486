"""Microsoft Teams: outgoing webhooks. The secret is the security token that Teams shows."""

from relay.platform import Accepted, Platform, in_body
from relay.request import Answer, json_answer
from relay.verifiers import Hmac, base64_key
from relay.verifiers.public_keys import problem_of


def message(accepted: Accepted) -> Answer:
    """Teams shows the answer in the chat."""
    text = f"Received: {', '.join(accepted.event_ids)}" if accepted.event_ids else "Received"
    return json_answer({"type": "message", "text": text} | accepted.fields)


# https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook
PLATFORM = Platform(
    name="microsoft-teams",
    verifier=Hmac(header="Authorization", encoding="base64", prefix="HMAC ", key=base64_key),
    delivery_id=in_body("id"),
    answer=message,
    find_secret_problem=problem_of(base64_key),
)
