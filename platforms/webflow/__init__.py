"""Webflow. The secret is the webhook's, or the app's client secret."""

from typing import Any

from platforms.base import Platform, body_with_time
from platforms.http import Request
from platforms.verifiers import Hmac, Timestamp

_TIMES = ("submittedAt", "lastUpdated", "publishedOn")


# https://developers.webflow.com/data/docs/working-with-webhooks#validating-request-signatures
class Webflow(Platform):
    name = "webflow"
    title = "Webflow"
    purpose = "forms submitted, sites published, items changed"
    types = ("$.triggerType",)
    summary = (
        "$.payload.name",
        "$.payload.fieldData.name",
        "$.payload.pageTitle",
        "$.payload.orderId",
    )
    secret_label = "Secret key"
    verifier = Hmac(
        header="x-webflow-signature",
        signed="{timestamp}:{body}",
        timestamp=Timestamp("x-webflow-timestamp", "ms"),
    )
    # Three retries, ten minutes apart, maybe with the first time.
    tolerance = 3600

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """What has a time of its own is known by its body, whatever the time of the attempt."""
        found = (body_with_time(request, value, "payload", name) for name in _TIMES)
        return next((identifier for identifier in found if identifier), None)


PLATFORM = Webflow()
