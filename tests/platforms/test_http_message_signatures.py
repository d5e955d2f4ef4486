"""RFC 9421: its own example, what of it may be changed, and what a signature must cover."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from http_message_signatures import HTTPMessageSigner, algorithms
from http_message_signatures.resolvers import MappingKeyResolver

from platforms import PLATFORMS
from platforms.http import Request
from platforms.http_message_signatures import Message
from platforms.verifiers import Credentials, Refused

# https://www.rfc-editor.org/rfc/rfc9421#appendix-B.1.2
RSA_PSS = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----"""
# https://www.rfc-editor.org/rfc/rfc9421#appendix-B.2.3
NOW, QUERY, BODY = 1618884473, "param=Value&Pet=dog", b'{"hello": "world"}'
HEADERS = {
    "date": "Tue, 20 Apr 2021 02:07:55 GMT",
    "content-type": "application/json",
    "content-length": "18",
    "content-digest": "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX"
    "+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
    "signature-input": 'sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" '
    '"content-length");created=1618884473;keyid="test-key-rsa-pss"',
    "signature": "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5"
    "p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW9"
    "1kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2"
    "FUo5fTIztsDZKEgM4cUA==:",
}
SECRET = "0123456789abcdef-secret"


def accepts(secret: str = RSA_PSS, tolerance: float = 300, **changed: Any) -> bool:
    """Whether the RFC's request is accepted, with these changes."""
    headers = {
        name: value
        for name, value in (HEADERS | changed.pop("headers", {})).items()
        if value is not None
    }
    query = changed.get("query", QUERY)
    usual = {
        "method": "POST",
        "url": f"https://example.com/foo?{query}",
        "query": query,
        "body": BODY,
        "now": NOW,
    }
    verifier = PLATFORMS["http-message-signatures"].verifier
    assert verifier is not None
    try:
        verifier.check(Credentials((secret,), tolerance))(
            Request(**{**usual, **changed}, headers=headers, remote=None)
        )
    except Refused:
        return False
    return True


def test_the_rfcs_own_example_is_accepted_and_what_is_changed_of_it_is_not() -> None:
    assert accepts()
    assert accepts(now=NOW + 300)
    assert accepts(headers={"x-unsigned": "1"})
    for changed in (
        {"now": NOW + 301},
        {"now": NOW - 301},
        {"method": "PUT"},
        {"query": "param=Value&Pet=cat"},
        {"url": f"https://example.org/foo?{QUERY}"},
        {"body": BODY + b" "},
        {"body": b""},
        {"secret": "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yB"},
        *({"headers": {name: None}} for name in HEADERS),
        {"headers": {"content-type": "text/plain"}},
    ):
        assert not accepts(**changed), changed


def signed(
    key: Any, algorithm: Any, covered: tuple[str, ...], created: int | None = NOW, **more: Any
) -> dict[str, Any]:
    """The headers of a signature, by the library."""
    resolver = MappingKeyResolver(public_keys={}, private_keys={"k": key})
    message = Message("POST", f"https://example.com/foo?{QUERY}", {})
    signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver)
    at = datetime.fromtimestamp(NOW, timezone.utc)
    body = BODY if "content-digest" in covered else None
    signer.sign(message, key_id="k", created=at, covered_component_ids=covered, body=body, **more)
    return dict.fromkeys(HEADERS) | {name.lower(): value for name, value in message.headers.items()}


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ed25519.Ed25519PrivateKey.generate(), algorithms.ED25519),
        (ec.generate_private_key(ec.SECP256R1()), algorithms.ECDSA_P256_SHA256),
        (ec.generate_private_key(ec.SECP384R1()), algorithms.ECDSA_P384_SHA384),
        (
            rsa.generate_private_key(public_exponent=65537, key_size=2048),
            algorithms.RSA_V1_5_SHA256,
        ),
    ],
    ids=lambda given: getattr(given, "algorithm_id", ""),
)
def test_each_kind_of_key_proves(key: Any, algorithm: Any) -> None:
    headers = signed(key, algorithm, ("@method", "@target-uri", "content-digest"))
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert accepts(pem, headers=headers)
    assert not accepts(RSA_PSS, headers=headers)
    assert not accepts(pem, headers=headers, body=BODY + b" ")


@pytest.mark.parametrize(
    ("covered", "is_enough"),
    [
        (("@method", "@target-uri", "content-digest"), True),
        (("@method", "@authority", "@request-target", "content-digest"), True),
        (("@method", "@authority", "@path", "@query", "content-digest"), True),
        (("@method", "@authority", "@path", "content-digest"), False),
        (("@method", "@request-target", "content-digest"), False),
        (("@target-uri", "content-digest"), False),
        (("@method", "@target-uri"), False),
    ],
)
def test_a_signature_covers_method_target_and_body_or_is_none(
    covered: tuple[str, ...], is_enough: bool
) -> None:
    headers = signed(SECRET.encode(), algorithms.HMAC_SHA256, covered)
    assert accepts(SECRET, headers=headers) is is_enough


def test_a_signature_may_say_when_it_expires() -> None:
    covered = ("@method", "@target-uri", "content-digest")
    expires = datetime.fromtimestamp(NOW + 60, timezone.utc)
    headers = signed(SECRET.encode(), algorithms.HMAC_SHA256, covered, expires=expires)
    assert accepts(SECRET, headers=headers, now=NOW + 60)
    assert not accepts(SECRET, headers=headers, now=NOW + 61)
