"""Public keys as platforms show them, and their signatures."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from platforms import PLATFORMS
from platforms.http import Request
from platforms.verifiers import CannotSign, Credentials, Draft, EcdsaP256, Ed25519, Refused, Timestamp
from platforms.verifiers.asymmetric import rsa_holds
from tests.relay.certificates import certificate

NOW = 1_760_000_000.0
P256 = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
TIME = Timestamp("X-Time")


def der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def check(verifier: EcdsaP256 | Ed25519, secrets: tuple[str, ...], signature: str, body: bytes = b"{}") -> bool:
    headers = {"x-sig": signature, "x-time": "1760000000"}
    try:
        verifier.check(Credentials(secrets, 300))(Request("POST", "", "", headers, body, None, NOW))
    except Refused:
        return False
    return True


def test_ecdsa_with_the_key_as_it_is_shown_or_in_a_frame() -> None:
    verifier = EcdsaP256("X-Sig", TIME)
    signature = base64.b64encode(P256.sign(b"1760000000{}", ec.ECDSA(hashes.SHA256()))).decode()
    plain = base64.b64encode(der(P256)).decode()
    framed = P256.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for secret in (plain, framed.decode(), f" {plain}\n"):
        assert check(verifier, (secret,), signature)
        assert check(verifier, ("nonsense", secret), signature)
        assert not check(verifier, (secret,), signature, b"[]")
    other = base64.b64encode(der(ec.generate_private_key(ec.SECP256R1()))).decode()
    assert not check(verifier, (other,), signature)
    for mutated in ("", "é", "AAAA", signature[:-1], signature + "!", "A" * 10_000):
        assert not check(verifier, (plain,), mutated)


def test_ed25519_in_hexadecimal_digits() -> None:
    verifier = Ed25519("X-Sig", TIME)
    secret = EDWARDS.public_key().public_bytes_raw().hex()
    signature = EDWARDS.sign(b"1760000000{}").hex()
    assert check(verifier, (secret,), signature)
    assert check(verifier, (secret.upper(),), signature.upper())
    assert not check(verifier, (secret,), signature, b"[]")
    for mutated in ("", "é", "00", signature[:-2], signature + "00", "0" * 128, signature[:-1]):
        assert not check(verifier, (secret,), mutated)
    assert not check(verifier, ("00",), signature)


@pytest.mark.parametrize("verifier", [EcdsaP256("X-Sig", TIME), Ed25519("X-Sig", TIME)])
def test_with_a_public_key_nobody_can_sign(verifier: EcdsaP256 | Ed25519) -> None:
    with pytest.raises(CannotSign, match="public key"):
        verifier.sign(Draft("POST", "https://x", {}, b"", NOW), Credentials(("x",)))


def test_rsa_of_a_certificate() -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = certificate(private)
    signature = private.sign(b"text", padding.PKCS1v15(), hashes.SHA256())
    assert rsa_holds(pem, signature, b"text", "sha256")
    assert not rsa_holds(pem, signature, b"text", "sha1")
    assert not rsa_holds(pem, b"", b"text", "sha256")
    for other in (b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff"):
        with pytest.raises(ValueError, match="certificate"):
            rsa_holds(other, signature, b"text", "sha256")


@pytest.mark.parametrize(
    ("platform", "secret"),
    [
        ("sendgrid", "nonsense"),
        ("sendgrid", base64.b64encode(der(ec.generate_private_key(ec.SECP384R1()))).decode()),
        ("discord", "not hex"),
        ("discord", "00"),
        ("microsoft-teams", "not base64!"),
        ("standard-webhooks", "whsec_!"),
        ("standard-webhooks", "whsec_"),
        ("standard-webhooks", "whpk_AAAA"),
    ],
)
def test_a_secret_that_is_no_key_is_a_problem_of_the_definition(platform: str, secret: str) -> None:
    find = PLATFORMS[platform].find_secret_problem
    problem = find(secret)
    assert problem is not None
    assert problem.startswith("it should be ")
    assert secret not in problem


def test_a_secret_that_is_a_key_is_no_problem() -> None:
    for platform, secret in (
        ("sendgrid", base64.b64encode(der(P256)).decode()),
        ("discord", EDWARDS.public_key().public_bytes_raw().hex()),
        ("microsoft-teams", base64.b64encode(b"key").decode()),
        ("standard-webhooks", "whsec_" + base64.b64encode(b"0123456789").decode().rstrip("=")),
        ("standard-webhooks", "whpk_" + base64.b64encode(EDWARDS.public_key().public_bytes_raw()).decode()),
    ):
        find = PLATFORMS[platform].find_secret_problem
        assert find(secret) is None
