"""DocuSign Connect."""

from platforms.base import MB, Platform
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
    # Documents of 25 MB, in Base64: https://developers.docusign.com/docs/esign-soap-api/esign101/api-info/file-limitations
    max_body = 35 * MB
    time_at = ("generatedDateTime",)
    varying = frozenset({"retryCount"})


PLATFORM = DocuSign()
