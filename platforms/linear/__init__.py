"""Linear: the signed time is inside the body."""

from platforms.base import Platform
from platforms.verifiers import Hmac, TimeInBody

_TIME = "webhookTimestamp"


# https://linear.app/developers/webhooks#securing-webhooks
class Linear(Platform):
    name = "linear"
    title = "Linear"
    purpose = "issues, comments and projects"
    types = ("$.type",)
    summary = ("$.action", "$.data.identifier", "$.data.title", "$.data.name", "$.data.issue.identifier")
    secret_label = "Signing secret"
    # https://linear.app/developers/webhooks
    answer_within = 5
    verifier = Hmac(header="Linear-Signature", time_in_body=TimeInBody((_TIME,), "ms"))
    # The last retry comes seven hours after the first attempt, maybe with its time.
    tolerance = 8 * 3600
    id_headers = ("linear-delivery",)
    time_at = ("createdAt",)
    varying = frozenset({_TIME})


PLATFORM = Linear()
