"""Public keys and other secrets in the form in which platforms show them."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from platforms import PLATFORMS


def p256(encoding: serialization.Encoding, curve: ec.EllipticCurve | None = None) -> bytes:
    public = ec.generate_private_key(curve or ec.SECP256R1()).public_key()
    return public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


EDWARDS = bytes.fromhex("5531371f0a84ab922bbee7ab94dbb8edc062557dd267358144b135f03b28f799")


@pytest.mark.parametrize(
    ("platform", "secret", "is_key"),
    [
        ("sendgrid", text(p256(serialization.Encoding.DER)), True),
        ("sendgrid", f" {text(p256(serialization.Encoding.DER))}\n", True),
        ("sendgrid", p256(serialization.Encoding.PEM).decode(), True),
        ("sendgrid", "nonsense", False),
        ("sendgrid", text(p256(serialization.Encoding.DER, ec.SECP384R1())), False),
        ("discord", EDWARDS.hex(), True),
        ("discord", EDWARDS.hex().upper(), True),
        ("discord", "not hex", False),
        ("discord", "00", False),
        ("microsoft-teams", text(b"key"), True),
        ("microsoft-teams", "not base64!", False),
        ("standard-webhooks", f"whsec_{text(b'0123456789').rstrip('=')}", True),
        ("standard-webhooks", f"whpk_{text(EDWARDS)}", True),
        ("standard-webhooks", "whsec_!", False),
        ("standard-webhooks", "whsec_", False),
        ("standard-webhooks", "whpk_AAAA", False),
    ],
)
def test_a_secret_that_is_no_key_is_a_problem_of_the_definition(
    platform: str, secret: str, is_key: bool
) -> None:
    problem = PLATFORMS[platform].find_secret_problem(secret)
    assert (problem is None) is is_key
    assert problem is None or (problem.startswith("it should be ") and secret not in problem)
