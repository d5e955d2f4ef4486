"""Xero. The secret is the webhooks key."""

from typing import Any

from platforms.base import Accepted, Platform
from platforms.http import Response
from platforms.verifiers import Credentials, Hmac

_EMPTY = Response(200, b"", None)


# https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/
class Xero(Platform):
    name = "xero"
    title = "Xero"
    purpose = "contacts and invoices changed"
    types = ("$.events[0].eventType",)
    summary = ("$.events[0].eventCategory", "$.events[0].resourceId")
    secret_label = "Webhooks key"
    verifier = Hmac(header="x-xero-signature", encoding="base64")
    empty_refusals = True

    # https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/#intent-to-receive
    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """The intent to receive: deliveries without events, some with a wrong signature, which must get an empty
        401."""
        return _EMPTY if isinstance(value, dict) and "events" in value and not value["events"] else None

    def respond(self, accepted: Accepted) -> Response:
        """Xero takes only an empty answer."""
        return _EMPTY


PLATFORM = Xero()
