"""Calendly."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import TimedHmac


# https://developer.calendly.com/api-docs/ZG9jOjM2MzE2MDM4-webhook-signatures
class Calendly(Platform):
    name = "calendly"
    title = "Calendly"
    purpose = "appointments booked or cancelled"
    types = ("$.event",)
    summary = ("$.payload.scheduled_event.name", Value("$.payload.scheduled_event.start_time", before="at "))
    made_by = "us"
    secret_label = "Signing key"
    # https://developer.calendly.com/api-docs/overview/webhooks/webhook-timeouts
    answer_within = 15
    verifier = TimedHmac(header="Calendly-Webhook-Signature")
    # https://developer.calendly.com/api-docs/overview/webhooks/webhook-errors
    # It retries for 24 hours, maybe with the first time.
    tolerance = 25 * 3600
    time_at = ("created_at",)


PLATFORM = Calendly()
