"""FusionAuth's tokens, by each kind of key: made by PyJWT, and never by a key of another kind."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.api_jws import PyJWS

from platforms import PLATFORMS
from tests.support.relay import MakeRelay

BODY = b'{"event": {"id": "e-1", "type": "user.create"}}'
CLAIMS = {"request_body_sha256": base64.b64encode(hashlib.sha256(BODY).digest()).decode()}
SECRET = "0123456789abcdef-0123456789abcdef-0123456789abcdef-0123456789abcdef"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS: dict[str, Any] = {
    "RS256": RSA,
    "RS512": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def pem(private: Any) -> str:
    return str(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    )


def header(key: Any, algorithm: str, **claims: Any) -> dict[str, str]:
    return {"X-FusionAuth-Signature-JWT": jwt.encode(CLAIMS | claims, key, algorithm)}


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", *KEYS])
def test_each_kind_of_key_proves_the_body(algorithm: str, make_relay: MakeRelay) -> None:
    key, secret = (KEYS[algorithm], pem(KEYS[algorithm])) if algorithm in KEYS else (SECRET, SECRET)
    relay = make_relay({"name": "hook", "platform": "fusionauth", "secret": secret})
    sent = header(key, algorithm)
    assert relay.post("hook", BODY + b" ", sent).status_code == 401
    assert (
        relay.post("hook", BODY, header(key, algorithm, request_body_sha256=1)).status_code == 401
    )
    assert relay.post("hook", BODY, sent).status_code == 200, relay.rejections()
    assert relay.event().delivery_id == "e-1"
    assert relay.post("hook", BODY, header(key, algorithm, iat=1)).get_json()["duplicate"] is True


def test_a_public_key_is_no_secret_of_an_hmac(make_relay: MakeRelay) -> None:
    relay = make_relay({"name": "hook", "platform": "fusionauth", "secret": pem(RSA)})
    head, claims, _ = header(SECRET, "HS256")["X-FusionAuth-Signature-JWT"].split(".")
    forged = (
        PyJWS().get_algorithm_by_name("HS256").sign(f"{head}.{claims}".encode(), pem(RSA).encode())
    )
    token = f"{head}.{claims}.{base64.urlsafe_b64encode(forged).decode().rstrip('=')}"
    assert relay.post("hook", BODY, {"X-FusionAuth-Signature-JWT": token}).status_code == 401


def test_what_looks_like_a_public_key_and_is_none_is_said() -> None:
    platform = PLATFORMS["fusionauth"]
    assert "public key in PEM" in (
        platform.find_secret_problem("-----BEGIN PUBLIC KEY-----\nx") or ""
    )
    assert platform.find_secret_problem(pem(RSA)) is None
