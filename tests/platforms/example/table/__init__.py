"""The platforms that are only data."""

from platforms.base import Handshake, Platform
from platforms.http import json_response
from platforms.summary import Value
from platforms.verifiers import Hmac, Timestamp

TABLE: tuple[Platform, ...] = (
    # https://docs.acme.example/webhooks#signatures
    Platform(
        name="acme",
        title="Acme",
        purpose="rockets launched, anvils dropped",
        types=("$.event.kind",),
        summary=("$.event.rocket", Value("$.event.height", before="at ")),
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
        id_at=("event", "id"),
        # https://docs.acme.example/webhooks#handshake
        handshake=Handshake(("kind",), "handshake", json_response({"hello": "acme"})),
    ),
)
