"""Zoom. The secret is the app's secret token."""

from typing import Any

from platforms.base import Platform, at
from platforms.http import Response, json_response
from platforms.verifiers import Credentials, Hmac, Timestamp
from platforms.verifiers.hmacs import encoded_hmac


# https://developers.zoom.us/docs/api/webhooks/#verify-webhook-events
class Zoom(Platform):
    name = "zoom"
    title = "Zoom"
    purpose = "meetings, recordings and participants"
    types = ("$.event",)
    summary = ("$.payload.object.topic", "$.payload.object.id")
    secret_label = "Secret token"
    # https://developers.zoom.us/docs/api/webhooks/
    answer_within = 3
    verifier = Hmac(
        header="x-zm-signature",
        prefix="v0=",
        signed="v0:{timestamp}:{body}",
        timestamp=Timestamp("x-zm-request-timestamp"),
    )
    # The last retry comes 85 minutes after the first attempt, maybe with its time.
    tolerance = 2 * 3600
    time_at = ("event_ts",)

    # https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint
    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """Zoom repeats it every 72 hours; it is signed like any event."""
        if (
            not isinstance(value, dict)
            or value.get("event") != "endpoint.url_validation"
            or not credentials.secrets
        ):
            return None
        token = at(value, "payload", "plainToken")
        if token is None:
            return None
        signature = encoded_hmac(
            credentials.secrets[0].encode(), token.encode("utf-8", "replace"), "sha256", "hex"
        )
        return json_response({"plainToken": token, "encryptedToken": signature.decode()})


PLATFORM = Zoom()
