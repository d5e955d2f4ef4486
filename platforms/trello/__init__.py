"""Trello. The secret is the Power-Up's OAuth 1.0 secret."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import Hmac


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
    # https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/#creating-a-webhook
    challenge_methods = frozenset({"HEAD"})
    id_at = ("action", "id")


PLATFORM = Trello()
