"""LINE: the Messaging API. The secret is the channel secret."""

from typing import Any

from platforms.base import Platform, member
from platforms.http import Response, json_response
from platforms.summary import Value
from platforms.verifiers import Credentials, Hmac


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
    events_at = ("events",)
    element_id_at = ("webhookEventId",)

    # https://developers.line.biz/en/docs/messaging-api/receiving-messages/#webhook-event-in-one-on-one-talk-or-group-chat
    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """The button *Verify* sends a delivery without events."""
        return json_response({}) if member(value, "events") == [] else None


PLATFORM = Line()
