"""HubSpot, version 3 of its signatures. The secret is the app's client secret."""

import json
import re
from typing import Any

from platforms.declaration import Platform, at, digest, together
from platforms.request import Request
from platforms.verifiers import Hmac, Timestamp

_DECODED = dict(
    zip(("3A", "2F", "3F", "40", "21", "24", "27", "28", "29", "2A", "2C", "3B"), ":/?@!$'()*,;", strict=True)
)
_ENCODED = re.compile("%(" + "|".join(_DECODED) + ")", re.IGNORECASE)


def urls(url: str) -> tuple[str, ...]:
    """As it was called, and with the characters decoded that HubSpot decodes."""
    decoded = _ENCODED.sub(lambda found: _DECODED[found[1].upper()], url)
    return (url,) if decoded == url else (url, decoded)


# https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide#webhook-payloads
def event_id(event: Any) -> str | None:
    """`eventId` alone isn't unique: all that the event says makes it so, but for the number of the attempt."""
    if not isinstance(event, dict) or at(event, "eventId") is None:
        return None
    return digest(json.dumps({name: item for name, item in event.items() if name != "attemptNumber"}, sort_keys=True))


def event_ids(_request: Request, value: Any) -> str | None:
    return together([event_id(event) for event in value]) if isinstance(value, list) else event_id(value)


# https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests#validate-requests-using-the-v3-request-signature
PLATFORM = Platform(
    name="hubspot",
    title="HubSpot",
    purpose="changes to contacts, companies and deals",
    secret_label="Client secret",
    verifier=Hmac(
        header="X-HubSpot-Signature-v3",
        encoding="base64",
        signed="{method}{url}{body}{timestamp}",
        timestamp=Timestamp("X-HubSpot-Request-Timestamp", "ms"),
        urls=urls,
    ),
    tolerance=300,
    delivery_id=event_ids,
    element_id=event_id,
)
