"""PagerDuty, version 3 webhooks."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import Hmac


# https://developer.pagerduty.com/docs/verifying-webhook-signatures
class PagerDuty(Platform):
    name = "pagerduty"
    title = "PagerDuty"
    purpose = "incidents triggered, acknowledged or resolved"
    types = ("$.event.event_type",)
    summary = (
        Value("$.event.data.number", before="#"),
        "$.event.data.title",
        Value("$.event.data.service.summary", before="of "),
    )
    secret_label = "Signing secret"
    # https://developer.pagerduty.com/docs/webhooks-overview
    answer_within = 5
    verifier = Hmac(header="X-PagerDuty-Signature", prefix="v1=", separator=",")
    id_at = ("event", "id")
    id_headers = ("x-webhook-id",)


PLATFORM = PagerDuty()
