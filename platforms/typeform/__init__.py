"""Typeform."""

from platforms.base import Platform
from platforms.summary import Value
from platforms.verifiers import Hmac


# https://www.typeform.com/developers/webhooks/secure-your-webhooks/
class Typeform(Platform):
    name = "typeform"
    title = "Typeform"
    purpose = "answers to a form"
    types = ("$.event_type",)
    summary = (Value("$.form_response.form_id", before="of "), "$.form_response.definition.title", "$.event_id")
    made_by = "us"
    verifier = Hmac(header="Typeform-Signature", encoding="base64", prefix="sha256=")
    id_at = ("event_id",)


PLATFORM = Typeform()
