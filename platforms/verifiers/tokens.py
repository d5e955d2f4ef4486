"""JSON Web Tokens: RS256, signed by a vendor, and HS256, signed with a shared secret."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from platforms.verifiers.asymmetric import rsa_holds
from platforms.verifiers.compare import any_equal
from platforms.verifiers.refused import Refused

CLOCK_SKEW = 10.0
"""Seconds that the vendor's clock may differ from ours, as in google-auth."""
_MAX_TOKEN = 8192


@dataclass(frozen=True)
class Token:
    """A parsed token; nothing in it is proven yet."""

    key_id: str
    """Empty for HS256, where it says nothing."""
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def read_token(text: str, algorithm: Literal["RS256", "HS256"] = "RS256") -> Token:
    """Parses a token of that algorithm. Raises Refused for anything else."""
    parts = text.split(".")
    if len(text) > _MAX_TOKEN or len(parts) != 3:
        raise Refused("the token has another form")
    header, claims = (_json_part(part) for part in parts[:2])
    # Never trust the token's algorithm: it would let the token choose how it is checked.
    key_id = header.get("kid") if algorithm == "RS256" else ""
    if header.get("alg") != algorithm or not isinstance(key_id, str):
        raise Refused(f"the token is not signed with {algorithm}")
    signed = ".".join(parts[:2]).encode("ascii", "replace")
    return Token(key_id, claims, signed, _decode_part(parts[2]))


def check_token(
    token: Token,
    certificate: Callable[[str], bytes | None],
    *,
    issuers: frozenset[str],
    audience: str | None,
    now: float,
) -> None:
    """Raises Refused unless the token is signed by the certificate of its key id, valid now, and meant for us."""
    pem = certificate(token.key_id)
    if pem is None:
        raise Refused("the token's key is not one of the vendor's")
    try:
        proven = rsa_holds(pem, token.signature, token.signed, "sha256")
    except ValueError:
        proven = False
    if not proven:
        raise Refused("the token's signature does not match")
    if token.claims.get("iss") not in issuers:
        raise Refused("the token has another issuer")
    _check_claims(token, audience, now)


def check_shared_token(token: Token, keys: Sequence[bytes], *, audience: str, now: float) -> None:
    """Raises Refused unless the HS256 token is signed with one of the keys, valid now, and meant for us."""
    if not any_equal(token.signature, [hmac.digest(key, token.signed, "sha256") for key in keys]):
        raise Refused("the token's signature does not match")
    _check_claims(token, audience, now)


def write_shared_token(claims: dict[str, Any], key: bytes) -> str:
    """The HS256 token with these claims."""
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = b".".join(map(_encode_part, parts))
    return b".".join((signed, _encode_part(hmac.digest(key, signed, "sha256")))).decode()


def _check_claims(token: Token, audience: str | None, now: float) -> None:
    audiences = token.claims.get("aud")
    if audience is None or audience not in (audiences if isinstance(audiences, list) else [audiences]):
        raise Refused("the token has another audience")
    if _seconds(token.claims.get("exp")) < now - CLOCK_SKEW:
        raise Refused("the token has expired")
    if _seconds(token.claims.get("iat")) > now + CLOCK_SKEW:
        raise Refused("the token is from the future")


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused("the token has no valid time")
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused("the token has no valid time")
    return value


def _json_part(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_decode_part(part))
    except (ValueError, RecursionError):
        raise Refused("the token has another form") from None
    if not isinstance(value, dict):
        raise Refused("the token has another form")
    return value


def _encode_part(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decode_part(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Refused("the token has another form") from None
