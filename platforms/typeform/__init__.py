"""Typeform."""

from platforms.declaration import Platform, in_body
from platforms.verifiers import Hmac

# https://www.typeform.com/developers/webhooks/secure-your-webhooks/
PLATFORM = Platform(
    name="typeform",
    title="Typeform",
    purpose="answers to a form",
    made_by="us",
    verifier=Hmac(header="Typeform-Signature", encoding="base64", prefix="sha256="),
    delivery_id=in_body("event_id"),
)
