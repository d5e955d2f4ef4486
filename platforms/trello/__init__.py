"""Trello. The secret is the Power-Up's OAuth 1.0 secret."""

from platforms.base import Platform
from platforms.http import Request, Response
from platforms.summary import Value
from platforms.verifiers import Credentials, Hmac


# https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/#webhook-signatures
class Trello(Platform):
    name = "trello"
    title = "Trello"
    purpose = "cards, lists and boards changed"
    types = ("$.action.type",)
    summary = (
        "$.action.data.card.name",
        Value("$.action.data.listAfter.name", before="to "),
        Value("$.action.data.board.name", before="on "),
    )
    secret_label = "OAuth 1.0 secret"
    verifier = Hmac(header="X-Trello-Webhook", algorithm="sha1", encoding="base64", signed="{body}{url}")
    challenge_methods = frozenset({"HEAD"})
    id_at = ("action", "id")

    # https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/#creating-a-webhook
    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """Trello asks whether the URL exists when a webhook is created for it."""
        return Response(200) if request.method == "HEAD" else None


PLATFORM = Trello()
