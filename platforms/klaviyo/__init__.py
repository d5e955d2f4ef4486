"""Klaviyo: system webhooks."""

from typing import Any

from platforms.base import MB, Platform, at
from platforms.summary import Value
from platforms.verifiers import Hmac, TimeInBody, Timestamp


# https://developers.klaviyo.com/en/docs/working_with_system_webhooks
class Klaviyo(Platform):
    name = "klaviyo"
    title = "Klaviyo"
    purpose = "mail and text messages sent, opened or clicked"
    types = (Value("$.data[0].topic", without="event:klaviyo."),)
    summary = ("$.data[0].external_id",)
    made_by = "us"
    secret_label = "Secret key"
    verifier = Hmac(
        header="Klaviyo-Signature",
        signed="{body}{timestamp}",
        timestamp=Timestamp("Klaviyo-Timestamp", "http"),
        # The header's time runs five hours ahead.
        time_in_body=TimeInBody(("meta", "timestamp"), "rfc3339"),
    )
    # https://developers.klaviyo.com/en/docs/understanding_webhook_status_codes
    # It retries for 24 hours, maybe with the first time.
    tolerance = 25 * 3600
    # Up to a thousand events; a limit of bytes isn't documented.
    max_body = 10 * MB
    events_at = ("data",)

    def element_id(self, element: Any) -> str | None:
        topic, identifier = at(element, "topic"), at(element, "external_id")
        return f"{topic} {identifier}" if topic and identifier else None


PLATFORM = Klaviyo()
