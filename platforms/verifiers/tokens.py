"""Bearer tokens: RS256 JSON Web Tokens, signed by a vendor."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from platforms.verifiers.asymmetric import rsa_holds
from platforms.verifiers.refused import Refused

CLOCK_SKEW = 10.0
"""Seconds that the vendor's clock may differ from ours, as in google-auth."""
_MAX_TOKEN = 8192


@dataclass(frozen=True)
class Token:
    """A parsed token; nothing in it is proven yet."""

    key_id: str
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def read_token(text: str) -> Token:
    """Parses an RS256 token. Raises Refused for anything else."""
    parts = text.split(".")
    if len(text) > _MAX_TOKEN or len(parts) != 3:
        raise Refused("the token has another form")
    header, claims = (_json_part(part) for part in parts[:2])
    # Never trust the token's algorithm: it would let the token choose how it is checked.
    if header.get("alg") != "RS256" or not isinstance(header.get("kid"), str):
        raise Refused("the token is not signed with RS256")
    signed = ".".join(parts[:2]).encode("ascii", "replace")
    return Token(header["kid"], claims, signed, _decode_part(parts[2]))


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


def _decode_part(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Refused("the token has another form") from None
