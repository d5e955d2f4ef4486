"""Zoom. The secret is the app's secret token."""

from typing import Any

from platforms.declaration import Platform, at, body_with_time
from platforms.request import Answer, json_answer
from platforms.verifiers import Hmac, Terms, Timestamp
from platforms.verifiers.hmacs import encoded_hmac


# https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint
def url_validation(value: Any, terms: Terms) -> Answer | None:
    """Zoom repeats it every 72 hours; it is signed as every event is."""
    if not isinstance(value, dict) or value.get("event") != "endpoint.url_validation" or not terms.secrets:
        return None
    token = at(value, "payload", "plainToken")
    if token is None:
        return None
    signature = encoded_hmac(terms.secrets[0].encode(), token.encode("utf-8", "replace"), "sha256", "hex")
    return json_answer({"plainToken": token, "encryptedToken": signature.decode()})


# https://developers.zoom.us/docs/api/webhooks/#verify-webhook-events
PLATFORM = Platform(
    name="zoom",
    title="Zoom",
    purpose="meetings, recordings and participants",
    secret_label="Secret token",
    verifier=Hmac(
        header="x-zm-signature",
        prefix="v0=",
        signed="v0:{timestamp}:{body}",
        timestamp=Timestamp("x-zm-request-timestamp"),
    ),
    tolerance=300,
    signed_challenge=url_validation,
    # Another attempt is signed with its own time; the body has the time of the event.
    delivery_id=body_with_time("event_ts"),
)
