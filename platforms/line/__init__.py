"""LINE: the Messaging API. The secret is the channel secret."""

from typing import Any

from platforms.base import Platform, at, together
from platforms.http import Request, Response, json_response
from platforms.summary import Value
from platforms.verifiers import Credentials, Hmac


def _events(value: Any) -> list[Any] | None:
    found = value.get("events") if isinstance(value, dict) else None
    return found if isinstance(found, list) else None


# https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/
class Line(Platform):
    name = "line"
    title = "LINE"
    purpose = "messages to a LINE Official Account"
    types = ("$.events[0].type",)
    summary = (
        "$.events[0].message.type",
        Value("$.events[0].source.type", before="from "),
        "$.events[0].postback.data",
    )
    secret_label = "Channel secret"
    verifier = Hmac(header="x-line-signature", encoding="base64")

    # https://developers.line.biz/en/docs/messaging-api/receiving-messages/#webhook-event-in-one-on-one-talk-or-group-chat
    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """The button *Verify* sends a delivery without events."""
        return json_response({}) if _events(value) == [] else None

    def delivery_id(self, request: Request, value: Any) -> str | None:
        return together([at(event, "webhookEventId") for event in _events(value) or []])


PLATFORM = Line()
