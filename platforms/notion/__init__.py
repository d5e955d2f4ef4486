"""Notion. The secret is the verification token of the subscription."""

from typing import Any

from platforms.base import Platform, at
from platforms.http import Request
from platforms.verifiers import Hmac


# https://developers.notion.com/reference/webhooks#step-3-validating-event-payloads-recommended
class Notion(Platform):
    name = "notion"
    title = "Notion"
    purpose = "pages, databases and comments changed"
    types = ("$.type",)
    telling = ("$.entity.type", "$.entity.id")
    secret_label = "Verification token"
    verifier = Hmac(header="X-Notion-Signature", prefix="sha256=")

    def delivery_id(self, request: Request, value: Any) -> str | None:
        return at(value, "id")


PLATFORM = Notion()
