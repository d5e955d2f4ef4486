"""Acme: rockets and anvils."""

from typing import Any

from platforms.declaration import Platform, in_body
from platforms.request import Answer, json_answer
from platforms.verifiers import Hmac, Terms, Timestamp


# https://docs.acme.example/webhooks#handshake
def handshake(value: Any, _terms: Terms) -> Answer | None:
    """Acme sends it once, when the URL is entered; it is signed as every event is."""
    if isinstance(value, dict) and value.get("kind") == "handshake":
        return json_answer({"hello": "acme"})
    return None


# https://docs.acme.example/webhooks#signatures
PLATFORM = Platform(
    name="acme",
    title="Acme",
    purpose="rockets launched, anvils dropped",
    made_by="us",
    verifier=Hmac(
        header="X-Acme-Signature",
        algorithm="sha512",
        encoding="base64",
        prefix="a1:",
        signed="{timestamp}|{method}|{url}|{body}",
        timestamp=Timestamp("X-Acme-Time", "ms"),
        separator=";",
    ),
    tolerance=120,
    signed_challenge=handshake,
    delivery_id=in_body("event", "id"),
)
