"""Google Chat: an app with an HTTP endpoint."""

from typing import Any

from platforms.base import Accepted, Platform, body_with_time
from platforms.http import Request, Response, json_response
from platforms.telling import Value
from platforms.verifiers.google import ChatToken


# https://developers.google.com/workspace/chat/verify-requests-from-chat
class GoogleChat(Platform):
    name = "google-chat"
    title = "Google Chat"
    purpose = "messages, commands and clicks to a Chat app"
    types = ("$.type", Value("$.chat", word="chat"))
    telling = (
        "$.action.actionMethodName",
        Value("$.space.displayName", before="in "),
        Value("$.user.displayName", before="by "),
    )
    made_by = "nobody"
    verifier = ChatToken()
    required = frozenset({"audience"})
    vendor_keys = True

    def delivery_id(self, request: Request, value: Any) -> str | None:
        return body_with_time(request, value, "eventTime")

    # https://developers.google.com/workspace/chat/receive-respond-interactions
    def respond(self, accepted: Accepted) -> Response:
        """Chat takes the answer for a message of the app's; an empty object says nothing in the space."""
        return json_response({})


PLATFORM = GoogleChat()
