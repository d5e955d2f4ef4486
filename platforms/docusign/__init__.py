"""DocuSign Connect."""

from platforms.base import Platform
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
    time_at = ("generatedDateTime",)
    varying = frozenset({"retryCount"})


PLATFORM = DocuSign()
