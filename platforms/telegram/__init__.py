"""Telegram bots."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import HeaderEquals


# https://core.telegram.org/bots/api#setwebhook
class Telegram(Platform):
    name = "telegram"
    title = "Telegram"
    purpose = "messages and button presses to a bot"
    types = (
        Value("$.message", word="message"),
        Value("$.edited_message", word="edited_message"),
        Value("$.callback_query", word="callback_query"),
        Value("$.channel_post", word="channel_post"),
        Value("$.inline_query", word="inline_query"),
        Value("$.my_chat_member", word="my_chat_member"),
    )
    summary = (
        Value("$.message.chat.title", before="in "),
        Value("$.message.from.username", before="by "),
        "$.callback_query.data",
    )
    made_by = "us"
    secret_label = "secret_token"
    verifier = HeaderEquals("X-Telegram-Bot-Api-Secret-Token")
    id_at = ("update_id",)


PLATFORM = Telegram()
