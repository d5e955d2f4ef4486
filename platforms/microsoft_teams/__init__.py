"""Microsoft Teams: outgoing webhooks. The secret is the security token that Teams shows."""

from platforms.base import Accepted, Platform
from platforms.http import Response, json_response
from platforms.summary import Value
from platforms.verifiers import Hmac
from platforms.verifiers.public_keys import base64_key, problem_of


# https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook
class MicrosoftTeams(Platform):
    name = "microsoft-teams"
    title = "Microsoft Teams"
    purpose = "messages that mention an outgoing webhook"
    types = ("$.type",)
    summary = (
        Value("$.conversation.name", before="in "),
        Value("$.from.name", before="by "),
        "$.text",
    )
    secret_label = "Security token"
    verifier = Hmac(
        header="Authorization", encoding="base64", prefix="HMAC ", key_encoding="base64"
    )
    # Ids of messages are times in milliseconds, unique in their conversation.
    id_at = ("id",)
    scope_at = ("conversation", "id")

    def find_secret_problem(self, secret: str) -> str | None:
        return problem_of(base64_key, secret)

    def respond(self, accepted: Accepted) -> Response:
        """Teams shows the answer in the chat."""
        text = f"Received: {', '.join(accepted.event_ids)}" if accepted.event_ids else "Received"
        return json_response({"type": "message", "text": text} | accepted.fields)


PLATFORM = MicrosoftTeams()
