"""Acme: rockets and anvils."""

from typing import Any

from platforms.base import Platform
from platforms.http import Response, json_response
from platforms.summary import Value
from platforms.verifiers import Credentials, Hmac, Timestamp


# https://docs.acme.example/webhooks#signatures
class Acme(Platform):
    name = "acme"
    title = "Acme"
    purpose = "rockets launched, anvils dropped"
    types = ("$.event.kind",)
    summary = ("$.event.rocket", Value("$.event.height", before="at "))
    made_by = "us"
    verifier = Hmac(
        header="X-Acme-Signature",
        algorithm="sha512",
        encoding="base64",
        prefix="a1:",
        signed="{timestamp}|{method}|{url}|{body}",
        timestamp=Timestamp("X-Acme-Time", "ms"),
        separator=";",
    )
    tolerance = 120
    id_at = ("event", "id")

    # https://docs.acme.example/webhooks#handshake
    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """Acme sends it once, when the URL is entered; it is signed as every event is."""
        if isinstance(value, dict) and value.get("kind") == "handshake":
            return json_response({"hello": "acme"})
        return None


PLATFORM = Acme()
