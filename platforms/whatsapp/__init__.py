"""WhatsApp Cloud API, as all of Meta, under its own name and with ids of its own."""

from typing import Any

from platforms.base import at, together
from platforms.facebook import Facebook
from platforms.http import Request
from platforms.summary import SummaryPart, Value


def _changes(value: Any) -> list[Any]:
    entries = value.get("entry") if isinstance(value, dict) else None
    found: list[Any] = []
    for entry in entries if isinstance(entries, list) else []:
        changes = entry.get("changes") if isinstance(entry, dict) else None
        found += changes if isinstance(changes, list) else [None]
    return found


def _identifiers(change: Any) -> list[str | None]:
    """Messages have ids; a status has that of its message, and in a group one for each recipient.
    Other changes have none."""
    content = change.get("value") if isinstance(change, dict) else None
    if not isinstance(content, dict):
        return [None]
    messages, statuses = content.get("messages"), content.get("statuses")
    found = [at(message, "id") for message in (messages if isinstance(messages, list) else [])]
    for status in statuses if isinstance(statuses, list) else []:
        identifier, kind, reader = (
            at(status, "id"),
            at(status, "status"),
            at(status, "recipient_participant_id"),
        )
        found.append(
            " ".join(filter(None, (identifier, kind, reader))) if identifier and kind else None
        )
    return found or [None]


# https://developers.facebook.com/docs/graph-api/webhooks/getting-started#validate-payloads
class WhatsApp(Facebook):
    name = "whatsapp"
    title = "WhatsApp"
    purpose = "messages to a business, and their status"
    types: tuple[SummaryPart, ...] = (
        "$.entry[0].changes[0].value.messages[0].type",
        "$.entry[0].changes[0].value.statuses[0].status",
        "$.entry[0].changes[0].field",
    )
    summary: tuple[SummaryPart, ...] = (
        Value("$.entry[0].changes[0].value.metadata.display_phone_number", before="to "),
    )

    # https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components
    def delivery_id(self, request: Request, value: Any) -> str | None:
        found = [one for change in _changes(value) for one in _identifiers(change)]
        return together(found) or super().delivery_id(request, value)


PLATFORM = WhatsApp()
