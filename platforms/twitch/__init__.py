"""Twitch EventSub."""

from typing import Any

from platforms.base import Platform, at
from platforms.http import Response, text_response
from platforms.summary import Value
from platforms.verifiers import Credentials, Hmac, Timestamp

_MESSAGE = "Twitch-Eventsub-Message-"


# https://dev.twitch.tv/docs/eventsub/handling-webhook-events/#verifying-the-event-message
class Twitch(Platform):
    name = "twitch"
    title = "Twitch"
    purpose = "streams, followers and subscriptions, by EventSub"
    types = ("$.subscription.type",)
    summary = ("$.event.broadcaster_user_login", Value("$.event.user_login", before="by "))
    made_by = "us"
    verifier = Hmac(
        header=f"{_MESSAGE}Signature",
        prefix="sha256=",
        signed="{id}{timestamp}{body}",
        timestamp=Timestamp(f"{_MESSAGE}Timestamp", "rfc3339"),
        identifier=f"{_MESSAGE}Id",
    )
    tolerance = 600
    id_headers = ("twitch-eventsub-message-id",)

    # https://dev.twitch.tv/docs/eventsub/handling-webhook-events/#responding-to-a-challenge-request
    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        challenge = at(value, "challenge")
        is_pending = at(value, "subscription", "status") == "webhook_callback_verification_pending"
        return text_response(challenge) if is_pending and challenge is not None else None


PLATFORM = Twitch()
