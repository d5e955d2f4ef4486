"""HTTP Message Signatures, with the body's digest. The secret is the sender's public key in PEM, or
an HMAC's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    HTTPSignatureKeyResolver,
    VerifyResult,
    algorithms,
)

from platforms.base import Platform
from platforms.http import Request
from platforms.verifiers import CannotSign, Check, Credentials, Draft, Part, Proof, Refused
from platforms.verifiers.asymmetric import pem_or_secret
from platforms.verifiers.public_keys import usable
from platforms.verifiers.timestamps import check_age

_SIGNED = ("@method", "@target-uri", "content-digest")
"""What the bridge signs."""


class _Key(HTTPSignatureKeyResolver):
    """One key, whatever a signature calls it."""

    def __init__(self, key: Any):
        self._key = key

    def resolve_public_key(self, key_id: str) -> Any:
        return self._key

    resolve_private_key = resolve_public_key


class _Verifier(HTTPMessageVerifier):
    """Leaves the times to us: they are compared with the delivery's clock."""

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        pass


@dataclass
class Message:
    """A request, as the library wants it."""

    method: str
    url: str
    headers: Mapping[str, str]


def _algorithms_of(key: Any) -> list[type[HTTPSignatureAlgorithm]]:
    """A key is for one kind of signature, whatever the signature says of itself."""
    if isinstance(key, bytes):
        return [algorithms.HMAC_SHA256]
    if isinstance(key, Ed25519PublicKey):
        return [algorithms.ED25519]
    if isinstance(key, RSAPublicKey):
        return [algorithms.RSA_PSS_SHA512, algorithms.RSA_V1_5_SHA256]
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return [algorithms.ECDSA_P256_SHA256]
    return [algorithms.ECDSA_P384_SHA384]


def _find_uncovered(covered: frozenset[str], query: str) -> str | None:
    """The first part that must be signed and isn't; the library has seen to the body."""
    path = {"@path", "@query"} if query else {"@path"}
    if "@method" not in covered:
        return "@method"
    if "@target-uri" in covered or (
        "@authority" in covered and ("@request-target" in covered or path <= covered)
    ):
        return None
    return "@target-uri"


def _verified(request: Request, verifiers: Sequence[_Verifier]) -> VerifyResult:
    """What the signature by one of the keys says. Raises Refused."""
    message = Message(request.method, request.url, request.headers)
    reason = "the webhook's secret is not a key"
    for verifier in verifiers:
        try:
            return verifier.verify(message, max_age=None, body=request.body)[0]
        except (HTTPMessageSignaturesException, ValueError):
            reason = "the signature does not match, or covers no digest of the body"
    raise Refused(reason)


def _check_times(parameters: Mapping[str, Any], now: float, tolerance: float | None) -> None:
    """Raises Refused."""
    created, expires = parameters.get("created"), parameters.get("expires")
    if not isinstance(created, int):
        raise Refused("the signature has no time (created)")
    check_age(created, now, tolerance)
    if isinstance(expires, int) and expires < now:
        raise Refused("the signature has expired")


# https://www.rfc-editor.org/rfc/rfc9421
@dataclass(frozen=True)
class MessageSignature:
    """A signature over method, URL and the body's digest (RFC 9530), and over its own time."""

    covers: ClassVar[frozenset[Part]] = frozenset({"time", "method", "url", "body"})

    def check(self, credentials: Credentials) -> Check:
        verifiers = [
            _Verifier(signature_algorithm=algorithm, key_resolver=_Key(key))
            for key in usable(credentials.secrets, pem_or_secret)
            for algorithm in _algorithms_of(key)
        ]

        def check(request: Request) -> Proof:
            result = _verified(request, verifiers)
            components = result.covered_components
            names = frozenset(name.strip('"') for name in components) - {"@signature-params"}
            uncovered = _find_uncovered(names, request.query)
            if uncovered is not None:
                raise Refused(f"the signature does not cover {uncovered}")
            _check_times(result.parameters, request.now, credentials.tolerance)
            signed = "\n".join(f"{name}: {value}" for name, value in components.items())
            fields = frozenset(name for name in names if not name.startswith("@"))
            return Proof(signed.encode("utf-8", "replace"), url=True, headers=fields)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        key = pem_or_secret(credentials.first_secret)
        if not isinstance(key, bytes):
            raise CannotSign(
                "the webhook has the sender's public key only; its private key never leaves the"
                " sender"
            )
        message = Message(draft.method, draft.url, dict(draft.headers))
        signer = HTTPMessageSigner(
            signature_algorithm=algorithms.HMAC_SHA256, key_resolver=_Key(key)
        )
        created = datetime.fromtimestamp(int(draft.now), timezone.utc)
        signer.sign(
            message,
            key_id="bridge",
            created=created,
            covered_component_ids=_SIGNED,
            body=draft.body,
        )
        for name in ("Content-Digest", "Signature-Input", "Signature"):
            draft = draft.with_header(name, message.headers[name])
        return draft


PLATFORM = Platform(
    name="http-message-signatures",
    title="HTTP Message Signatures",
    purpose="anyone who signs by RFC 9421",
    types=("$.type", "$.event"),
    summary=("$.id",),
    secret_label="Key",
    verifier=MessageSignature(),
    read_key=pem_or_secret,
    tolerance=300,
)
