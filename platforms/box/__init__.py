"""Box, version 2 of its webhooks. The secrets are the app's signature keys."""

from platforms.base import Platform
from platforms.verifiers import Hmac, Timestamp


# https://developer.box.com/guides/webhooks/v2/signatures-v2
class Box(Platform):
    name = "box"
    title = "Box"
    purpose = "files and folders changed, comments and tasks"
    types = ("$.trigger",)
    summary = ("$.source.name", "$.source.id")
    secret_label = "Primary key"
    verifier = Hmac(
        header="Box-Signature-Primary",
        further=("Box-Signature-Secondary",),
        encoding="base64",
        signed="{body}{timestamp}",
        timestamp=Timestamp("Box-Delivery-Timestamp", "rfc3339"),
    )
    tolerance = 600
    id_at = ("id",)


PLATFORM = Box()
