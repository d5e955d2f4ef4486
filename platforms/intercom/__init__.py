"""Intercom. The secret is the app's client secret."""

from typing import Any

from platforms.base import Platform, at
from platforms.http import Request
from platforms.verifiers import Hmac


# https://developers.intercom.com/docs/webhooks/webhook-notifications#signed-notifications
class Intercom(Platform):
    name = "intercom"
    title = "Intercom"
    purpose = "conversations and users"
    types = ("$.topic",)
    summary = ("$.data.item.type", "$.data.item.id", "$.data.item.state")
    secret_label = "Client secret"
    verifier = Hmac(header="X-Hub-Signature", algorithm="sha1", prefix="sha1=")

    def delivery_id(self, request: Request, value: Any) -> str | None:
        return at(value, "id")


PLATFORM = Intercom()
