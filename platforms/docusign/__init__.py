"""DocuSign Connect."""

import json
from typing import Any

from platforms.base import Platform, at, digest
from platforms.http import Request
from platforms.verifiers import Hmac

_MOST_KEYS = 100


# https://developers.docusign.com/platform/webhooks/connect/validate
class DocuSign(Platform):
    name = "docusign"
    title = "DocuSign"
    purpose = "envelopes sent, signed, completed or voided"
    types = ("$.event",)
    summary = ("$.data.envelopeSummary.emailSubject", "$.data.envelopeId")
    secret_label = "Connect key"
    verifier = Hmac(
        header="X-DocuSign-Signature-1",
        encoding="base64",
        further=tuple(f"X-DocuSign-Signature-{number}" for number in range(2, _MOST_KEYS + 1)),
    )

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """Each attempt counts up `retryCount`."""
        if at(value, "generatedDateTime") is None:
            return None
        return digest(json.dumps({name: item for name, item in value.items() if name != "retryCount"}, sort_keys=True))


PLATFORM = DocuSign()
