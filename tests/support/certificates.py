"""Certificates for tests, as vendors publish them."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509.oid import NameOID

SNS = "sns.amazonaws.com"


def certificate(private: RSAPrivateKey) -> bytes:
    """A self-signed certificate of the key, in PEM."""
    return _issued(private.public_key(), "vendor", "vendor", private)


def amazons(
    public: RSAPublicKey, *, to: str = SNS, by: str = "Amazon", since: int = 2020, until: int = 2045
) -> bytes:
    """A certificate of the key as Amazon SNS publishes them, in PEM; valid from the one year to the
    other."""
    return _issued(public, to, by, _authority(), since, until)


def issued_to(public: RSAPublicKey, to: str, since: int = 2020, until: int = 2045) -> bytes:
    """A certificate of the key for that name, in PEM; valid from the one year to the other."""
    return _issued(public, to, "authority", _authority(), since, until)


def reissued(pem: str) -> bytes:
    """Another certificate of the same key, as Amazon SNS publishes them."""
    public = x509.load_pem_x509_certificate(pem.encode()).public_key()
    assert isinstance(public, RSAPublicKey)
    return amazons(public)


@cache
def _authority() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _issued(
    public: RSAPublicKey,
    to: str,
    by: str,
    private: RSAPrivateKey,
    since: int = 2020,
    until: int = 2045,
) -> bytes:
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, to)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, by)]))
        .public_key(public)
        .serial_number(1)
        .not_valid_before(datetime(since, 1, 1, tzinfo=timezone.utc))
        .not_valid_after(datetime(until, 1, 1, tzinfo=timezone.utc))
        .sign(private, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)
