"""FusionAuth. The secret is the HMAC key's, or the public key in PEM."""

import base64
import hashlib
from dataclasses import dataclass
from typing import ClassVar

from platforms.base import Platform
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers import (
    CannotSign,
    Check,
    Credentials,
    Draft,
    Part,
    Proof,
    Refused,
    proof_of,
)
from platforms.verifiers.asymmetric import pem_or_secret
from platforms.verifiers.compare import equal, required_header
from platforms.verifiers.public_keys import usable
from platforms.verifiers.tokens import (
    BY_ISSUERS,
    BY_SECRET,
    check_signature,
    read_token,
    write_shared_token,
)

_CLAIM = "request_body_sha256"


def _sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


@dataclass(frozen=True)
class BodyToken:
    """A token with the body's SHA-256, in a header."""

    header: str = "X-FusionAuth-Signature-JWT"
    covers: ClassVar[frozenset[Part]] = frozenset({"body"})

    def check(self, credentials: Credentials) -> Check:
        name, keys = self.header.lower(), usable(credentials.secrets, pem_or_secret)

        def check(request: Request) -> Proof:
            token = read_token(required_header(request, name), [*BY_ISSUERS, *BY_SECRET])
            # A public key, which all may know, is never the key of an HMAC.
            by_secret = token.algorithm in BY_SECRET
            check_signature(token, [key for key in keys if isinstance(key, bytes) is by_secret])
            given = token.claims.get(_CLAIM)
            if not isinstance(given, str) or not equal(given, _sha256(request.body)):
                raise Refused("the token is for another body")
            return proof_of(request, request.body)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        key = pem_or_secret(credentials.first_secret)
        if not isinstance(key, bytes):
            raise CannotSign(
                "the webhook has FusionAuth's public key only; its private key never leaves"
                " FusionAuth"
            )
        return draft.with_header(
            self.header, write_shared_token({_CLAIM: _sha256(draft.body)}, key)
        )


PLATFORM = Platform(
    name="fusionauth",
    title="FusionAuth",
    purpose="users, registrations and sign-ins",
    types=("$.event.type",),
    summary=(Value("$.event.applicationId", before="of "), "$.event.user.id"),
    secret_label="Signing key",
    # https://fusionauth.io/docs/extend/events-and-webhooks/signing
    verifier=BodyToken(),
    read_key=pem_or_secret,
    id_at=("event", "id"),
)
