"""Google Chat: an app with an HTTP endpoint."""

import json
from typing import Any

from platforms.base import Platform, at, body_with_time, digest
from platforms.http import Request, json_response
from platforms.summary import Value
from platforms.verifiers.google import ChatToken

_TOKENS = frozenset({"systemIdToken", "userIdToken", "userOAuthToken"})


# https://developers.google.com/workspace/chat/verify-requests-from-chat
class GoogleChat(Platform):
    name = "google-chat"
    title = "Google Chat"
    purpose = "messages, commands and clicks to a Chat app"
    types = (
        "$.type",
        Value("$.chat.messagePayload", word="MESSAGE"),
        Value("$.chat.appCommandPayload", word="APP_COMMAND"),
        Value("$.chat.buttonClickedPayload", word="CARD_CLICKED"),
        Value("$.chat.addedToSpacePayload", word="ADDED_TO_SPACE"),
        Value("$.chat.removedFromSpacePayload", word="REMOVED_FROM_SPACE"),
        Value("$.chat", word="chat"),
    )
    summary = (
        "$.action.actionMethodName",
        Value("$.space.displayName", before="in "),
        Value("$.user.displayName", before="by "),
        Value("$.chat.messagePayload.space.displayName", before="in "),
        Value("$.chat.user.displayName", before="by "),
    )
    made_by = "nobody"
    verifier = ChatToken()
    required = frozenset({"audience"})
    options = frozenset({"service_account"})
    vendor_keys = True
    secret_in_body = True
    # https://developers.google.com/workspace/chat/receive-respond-interactions
    # Chat takes the answer for a message of the app's; an empty object says nothing in the space.
    answer = json_response({})

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """Each attempt may have a token of its own, in the body too."""
        kept = self.conceal(value)
        if kept is not value:
            if at(value, "chat", "eventTime") is not None:
                return digest(json.dumps(kept, sort_keys=True))
            return None
        return body_with_time(request, value, "eventTime")

    # https://developers.google.com/workspace/chat/api/reference/rest/v1/Event
    # https://developers.google.com/workspace/add-ons/concepts/event-objects#authorization-event-object
    def conceal(self, value: Any) -> Any:
        """The token that proves the request is in the body again, beside tokens that act for the
        user."""
        if not isinstance(value, dict):
            return value
        granted = value.get("authorizationEventObject")
        shown = {name: item for name, item in value.items() if name != "token"}
        if isinstance(granted, dict):
            shown["authorizationEventObject"] = {
                name: item for name, item in granted.items() if name not in _TOKENS
            }
        return value if shown == value else shown


PLATFORM = GoogleChat()
