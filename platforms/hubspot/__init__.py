"""HubSpot, version 3 of its signatures. The secret is the app's client secret."""

import json
import re
from dataclasses import dataclass
from typing import Any

from platforms.base import Platform, at, digest, together
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers import Hmac, Timestamp

_DECODED = dict(
    zip(
        ("3A", "2F", "3F", "40", "21", "24", "27", "28", "29", "2A", "2C", "3B"),
        ":/?@!$'()*,;",
        strict=True,
    )
)
_ENCODED = re.compile("%(" + "|".join(_DECODED) + ")", re.IGNORECASE)


@dataclass(frozen=True)
class UrlAsCalledOrDecoded(Hmac):
    """Covers the URL as it was called, or with the characters decoded that HubSpot decodes."""

    def urls(self, url: str) -> tuple[str, ...]:
        decoded = _ENCODED.sub(lambda found: _DECODED[found[1].upper()], url)
        return (url,) if decoded == url else (url, decoded)


# https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests#validate-requests-using-the-v3-request-signature
class HubSpot(Platform):
    name = "hubspot"
    title = "HubSpot"
    purpose = "changes to contacts, companies and deals"
    types = ("$.subscriptionType",)
    summary = (Value("$.objectId", before="object "), Value("$.propertyName", before="its "))
    secret_label = "Client secret"
    verifier = UrlAsCalledOrDecoded(
        header="X-HubSpot-Signature-v3",
        encoding="base64",
        signed="{method}{url}{body}{timestamp}",
        timestamp=Timestamp("X-HubSpot-Request-Timestamp", "ms"),
    )
    tolerance = 300

    def delivery_id(self, request: Request, value: Any) -> str | None:
        if isinstance(value, list):
            return together([self.element_id(event) for event in value])
        return self.element_id(value)

    # https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide#webhook-payloads
    def element_id(self, element: Any) -> str | None:
        """`eventId` alone isn't unique; the whole event is, except for the number of the attempt."""
        if not isinstance(element, dict) or at(element, "eventId") is None:
            return None
        kept = {name: item for name, item in element.items() if name != "attemptNumber"}
        return digest(json.dumps(kept, sort_keys=True))


PLATFORM = HubSpot()
