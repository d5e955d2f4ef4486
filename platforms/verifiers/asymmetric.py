"""Signatures that anyone with the public key can check: ECDSA P-256, Ed25519 and RSA."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from cryptography.x509 import Certificate, load_pem_x509_certificate

from platforms.http import Request
from platforms.verifiers.compare import header_bytes, required_header
from platforms.verifiers.protocol import Check, Credentials, Draft, Part, Proof, proof_of
from platforms.verifiers.public_keys import decode_base64, decode_hex, usable
from platforms.verifiers.refused import CannotSign, Refused
from platforms.verifiers.templates import compile_template, parts_of
from platforms.verifiers.timestamps import Timestamp

Key = TypeVar("Key")

Encoding = Literal["hex", "base64"]

_PEM_FRAME = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----")


def p256_key(secret: str) -> EllipticCurvePublicKey:
    """The public key from base64 DER, with or without PEM armour. Raises ValueError for anything
    else."""
    text = secret.strip()
    for line in _PEM_FRAME:
        text = text.replace(line, "")
    try:
        key = load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm, TypeError):
        raise ValueError("it should be a public key in base64, as the platform shows it") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("it should be a public key on the curve P-256")
    return key


def pem_or_secret(secret: str) -> PublicKeyTypes | bytes:
    """The public key from PEM, or the bytes of a shared secret. Raises ValueError for what only
    looks like PEM."""
    if "-----BEGIN" not in secret:
        return secret.encode()
    try:
        return load_pem_public_key(secret.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it should be a public key in PEM, or a shared secret") from None


def ed25519_hex_key(secret: str) -> Ed25519PublicKey:
    """The public key from hexadecimal digits. Raises ValueError for anything else."""
    return ed25519_key(decode_hex(secret.strip()), "64 hexadecimal digits")


def ed25519_base64_key(secret: str) -> Ed25519PublicKey:
    """The same from base64."""
    return ed25519_key(decode_base64(secret.strip()), "32 bytes in base64")


def ed25519_key(raw: bytes | None, form: str) -> Ed25519PublicKey:
    """The public key from its 32 bytes. Raises ValueError if they aren't a key."""
    try:
        return Ed25519PublicKey.from_public_bytes(raw or b"")
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"it should be a public key of {form}") from None


def ed25519_holds(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether the key's owner signed the message."""
    try:
        key.verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def rsa_holds(
    certificate: bytes | Certificate,
    signature: bytes,
    message: bytes,
    algorithm: Literal["sha1", "sha256"],
) -> bool:
    """Whether the owner of the PEM certificate signed the message (PKCS#1 v1.5).

    Raises ValueError if that isn't a certificate of an RSA key.
    """
    try:
        if isinstance(certificate, bytes):
            certificate = load_pem_x509_certificate(certificate)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, TypeError):
        raise ValueError("not a certificate") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("not a certificate of an RSA key")
    digest: hashes.HashAlgorithm = hashes.SHA256()
    if algorithm == "sha1":
        # The vendor's choice, not ours: version 1 of Amazon SNS's signatures uses SHA-1.
        digest = hashes.SHA1()  # noqa: S303
    try:
        key.verify(signature, message, PKCS1v15(), digest)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


@dataclass(frozen=True)
class _InHeader(Generic[Key]):
    """A signature in a header, over a time and the body. The secret is the platform's public key."""

    header: str
    timestamp: Timestamp
    signed: str = "{timestamp}{body}"
    encoding: Encoding = "base64"
    """How the signature is written."""

    @property
    def covers(self) -> frozenset[Part]:
        return parts_of(self.signed)

    def key(self, secret: str) -> Key:
        """Raises ValueError for a secret that isn't a key."""
        raise NotImplementedError

    def holds(self, key: Key, signature: bytes, message: bytes) -> bool:
        """Whether the key's owner signed the message."""
        raise NotImplementedError

    def check(self, credentials: Credentials) -> Check:
        name, timestamp = self.header.lower(), self.timestamp
        keys, render = usable(credentials.secrets, self.key), compile_template(self.signed)
        decode = decode_base64 if self.encoding == "base64" else decode_hex

        def check(request: Request) -> Proof:
            signature = decode(required_header(request, name))
            if signature is None:
                raise Refused(f"the signature is not {self.encoding}")
            time_text = timestamp.text(request)
            message = render({"body": request.body, "timestamp": header_bytes(time_text)})
            if not any(self.holds(key, signature, message) for key in keys):
                raise Refused(
                    "the signature does not match" if keys else "the webhook's secret is not a key"
                )
            timestamp.check(time_text, request.now, credentials.tolerance)
            return proof_of(request, message)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        raise CannotSign(
            "the webhook has the platform's public key only; its private key never leaves the"
            " platform"
        )


class EcdsaP256(_InHeader[EllipticCurvePublicKey]):
    """ECDSA on P-256 with SHA-256; the signature is base64 DER in a header. The secret is the
    public key."""

    def key(self, secret: str) -> EllipticCurvePublicKey:
        return p256_key(secret)

    def holds(self, key: EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
        try:
            key.verify(signature, message, ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


class Ed25519(_InHeader[Ed25519PublicKey]):
    """Ed25519; the signature is in a header. The secret is the public key, written like the
    signature."""

    def key(self, secret: str) -> Ed25519PublicKey:
        return ed25519_base64_key(secret) if self.encoding == "base64" else ed25519_hex_key(secret)

    def holds(self, key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
        return ed25519_holds(key, signature, message)
