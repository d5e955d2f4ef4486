"""Telegram bots."""

from typing import Any

from platforms.base import Platform, at
from platforms.http import Request
from platforms.verifiers import HeaderEquals


# https://core.telegram.org/bots/api#setwebhook
class Telegram(Platform):
    name = "telegram"
    title = "Telegram"
    purpose = "messages and button presses to a bot"
    made_by = "us"
    secret_label = "secret_token"
    verifier = HeaderEquals("X-Telegram-Bot-Api-Secret-Token")

    def delivery_id(self, request: Request, value: Any) -> str | None:
        return at(value, "update_id")


PLATFORM = Telegram()
