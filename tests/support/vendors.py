"""What vendors sign with keys of their own, for platforms without a shared secret: as they do, not
by our code."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from jwt.algorithms import ECAlgorithm

from platforms.verifiers import KeysUnavailable
from tests.support.certificates import certificate, issued_to
from tests.support.relay import NOW

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CHATS_KEYS = (
    "https://www.googleapis.com/service_accounts/v1/metadata/x509/chat@system.gserviceaccount.com"
)
GOOGLES_KEYS = "https://www.googleapis.com/oauth2/v1/certs"
PAYPALS_CERTIFICATE = (
    "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77"
)
PAYPALS_WEBHOOK = "9XL90610J3647323C"


@dataclass
class Pages:
    """What is at the vendors' URLs; a `platforms.verifiers.Fetch`."""

    pages: dict[str, bytes]
    visited: list[str] = field(default_factory=list)

    def __call__(self, url: str, **_: Any) -> bytes:
        self.visited.append(url)
        if url not in self.pages:
            raise KeysUnavailable(url)
        return self.pages[url]


def pages() -> Pages:
    """Both vendors' keys, of which the tests have the private one."""
    keys = json.dumps({"k1": certificate(KEY).decode()}).encode()
    return Pages(
        {
            CHATS_KEYS: keys,
            GOOGLES_KEYS: keys,
            f"{PLAIDS_KEYS}#{PLAIDS_KEY_ID}.0": plaids_key(),
            PAYPALS_CERTIFICATE: issued_to(KEY.public_key(), "messageverificationcerts.paypal.com"),
        }
    )


def chat(private: rsa.RSAPrivateKey = KEY, **claims: Any) -> dict[str, str]:
    """The headers of Google Chat, for a project's number."""
    usual = {
        "iss": "chat@system.gserviceaccount.com",
        "aud": "1234567890",
        "iat": int(NOW) - 60,
        "exp": int(NOW) + 3600,
    }
    token = jwt.encode(usual | claims, private, "RS256", headers={"kid": "k1"})
    return {"Authorization": f"Bearer {token}"}


def paypal(body: bytes, webhook: str = PAYPALS_WEBHOOK, identifier: str = "d938e770-8046-11e6-8103-6b62a8a99ac4",
           at: str = "2025-10-09T08:53:20Z") -> dict[str, str]:  # fmt: skip
    """The headers of PayPal."""
    signed = f"{identifier}|{at}|{webhook}|{binascii.crc32(body) & 0xFFFFFFFF}"
    signature = KEY.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return {
        "PayPal-Transmission-Id": identifier,
        "PayPal-Transmission-Time": at,
        "PayPal-Transmission-Sig": base64.b64encode(signature).decode(),
        "PayPal-Cert-Url": PAYPALS_CERTIFICATE,
        "PayPal-Auth-Algo": "SHA256withRSA",
    }


PLAID = ec.generate_private_key(ec.SECP256R1())
PLAIDS_KEY_ID = "bfbd5111-8e33-4643-8ced-b2e642a72f3c"
PLAIDS_KEYS = "https://production.plaid.com/webhook_verification_key/get"


def plaids_key(key_id: str = PLAIDS_KEY_ID, **changed: Any) -> bytes:
    """What Plaid's API answers to a request for the key."""
    public = ECAlgorithm.to_jwk(PLAID.public_key(), as_dict=True)
    key = public | {
        "alg": "ES256",
        "use": "sig",
        "kid": key_id,
        "created_at": 1560466150,
        "expired_at": None,
    }
    return json.dumps({"key": key | changed, "request_id": "RZ6Omi1bzzwDaLo"}).encode()


def plaid(body: bytes, key: Any = PLAID, key_id: Any = PLAIDS_KEY_ID, algorithm: str = "ES256",
          **claims: Any) -> dict[str, str]:  # fmt: skip
    """The header of Plaid."""
    said = {"iat": int(NOW), "request_body_sha256": hashlib.sha256(body).hexdigest()} | claims
    return {
        "Plaid-Verification": jwt.encode(
            said, key, algorithm, headers={"kid": key_id} if key_id else {}
        )
    }


TELNYX = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
TELNYXS_KEY = base64.b64encode(TELNYX.public_key().public_bytes_raw()).decode()


def telnyx(body: bytes) -> dict[str, str]:
    """The headers of Telnyx."""
    at = str(int(NOW))
    signature = TELNYX.sign(f"{at}|".encode() + body)
    return {
        "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
        "telnyx-timestamp": at,
    }


HEADERS: dict[str, Callable[[bytes], dict[str, str]]] = {
    "google-chat": lambda body: chat(),
    "paypal": paypal,
    "plaid": plaid,
    "telnyx": telnyx,
}
"""Platform → the headers with which its vendor sends this body."""
