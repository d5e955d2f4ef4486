"""The signatures of Standard Webhooks, which Svix and others use.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from platforms.http import Request
from platforms.verifiers.asymmetric import ed25519_holds, ed25519_key
from platforms.verifiers.compare import any_equal, header_bytes
from platforms.verifiers.hmacs import MAX_SIGNATURES
from platforms.verifiers.protocol import Check, Credentials, Draft, Part, Proof
from platforms.verifiers.public_keys import base64_key, decode_base64, usable
from platforms.verifiers.refused import CannotSign, Refused
from platforms.verifiers.timestamps import check_age, read_time

PUBLIC_KEY = "whpk_"
SECRET_KEY = "whsec_"


def secret_key(secret: str) -> bytes:
    """The key of ``whsec_…`` (``v1,whsec_…`` at Supabase), or of base64 alone, with or without its
    padding. Raises ValueError for anything else."""
    text = secret.removeprefix("v1,").removeprefix(SECRET_KEY).rstrip("=")
    return base64_key(text + "=" * (-len(text) % 4))


def public_key(secret: str) -> Ed25519PublicKey:
    """The key of ``whpk_…``. Raises ValueError for anything else."""
    return ed25519_key(
        decode_base64(secret.removeprefix(PUBLIC_KEY)), "32 bytes in base64 after whpk_"
    )


def signing_key(secret: str) -> bytes | Ed25519PublicKey:
    """The key of a secret of either kind. Raises ValueError for anything else."""
    return public_key(secret) if secret.startswith(PUBLIC_KEY) else secret_key(secret)


@dataclass(frozen=True)
class StandardWebhooks:
    """``v1`` is an HMAC over id, time and body, ``v1a`` is Ed25519 over the same; the header lists
    several."""

    prefixes: tuple[str, ...] = ("webhook", "svix")
    """The prefixes of the three headers' names."""
    covers: ClassVar[frozenset[Part]] = frozenset({"id", "time", "body"})

    def check(self, credentials: Credentials) -> Check:
        public = [secret for secret in credentials.secrets if secret.startswith(PUBLIC_KEY)]
        secret_keys = usable(
            [secret for secret in credentials.secrets if secret not in public], secret_key
        )
        public_keys = usable(public, public_key)

        def proven(message: bytes, signature: str) -> bool:
            version, _, encoded = signature.partition(",")
            # Some write a comma between signatures.
            given = decode_base64(header_bytes(encoded.rstrip(",")))
            if given is None:
                return False
            if version == "v1":
                return any_equal(
                    given, [hmac.digest(key, message, "sha256") for key in secret_keys]
                )
            return version == "v1a" and any(
                ed25519_holds(key, given, message) for key in public_keys
            )

        def check(request: Request) -> Proof:
            identifier, time_text, signatures = self._headers(request)
            if "." in identifier:
                # Text after the full stop could be taken for time and body.
                raise Refused("the id contains a full stop")
            at = read_time(time_text, "s")
            message = b".".join((header_bytes(identifier), header_bytes(time_text), request.body))
            candidates = signatures.split(" ", MAX_SIGNATURES)
            if len(candidates) > MAX_SIGNATURES:
                raise Refused("too many signatures")
            if not any(proven(message, candidate) for candidate in candidates):
                raise Refused("the signature does not match")
            check_age(at, request.now, credentials.tolerance)
            return Proof(message, id=identifier)

        return check

    def _headers(self, request: Request) -> tuple[str, str, str]:
        for prefix in self.prefixes:
            names = (f"{prefix}-id", f"{prefix}-timestamp", f"{prefix}-signature")
            identifier, time_text, signatures = map(request.headers.get, names)
            if identifier and time_text and signatures:
                return identifier, time_text, signatures
        raise Refused(
            f"one of the headers {self.prefixes[0]}-id, -timestamp and -signature is missing"
        )

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        keys = usable(
            [secret for secret in credentials.secrets if not secret.startswith(PUBLIC_KEY)],
            secret_key,
        )
        if not keys:
            raise CannotSign("the webhook has no secret key (whsec_…) to sign with")
        prefix = self.prefixes[0]
        identifier, time_text = f"msg_{int(draft.now * 1000)}", str(int(draft.now))
        message = b".".join((identifier.encode(), time_text.encode(), draft.body))
        signature = base64.b64encode(hmac.digest(keys[0], message, "sha256")).decode()
        return (
            draft.with_header(f"{prefix}-id", identifier)
            .with_header(f"{prefix}-timestamp", time_text)
            .with_header(f"{prefix}-signature", f"v1,{signature}")
        )
