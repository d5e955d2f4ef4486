"""JSON Web Tokens: signed by an issuer or vendor, or with a shared secret (HS256)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWS
from jwt.exceptions import PyJWTError

from platforms.bodies import BadBody, read_json, refuse_unstorable
from platforms.verifiers.refused import Refused

BY_ISSUERS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""Algorithms with a private key, which only the issuer has."""
BY_SECRET = ("HS256", "HS384", "HS512")
"""Algorithms with a shared secret."""
SHARED = "HS256"
CLOCK_SKEW = 10.0
"""Seconds that the vendor's clock may differ from ours, as in google-auth."""
_MAX_TOKEN = 16384
_SHORTEST_RSA_KEY = 2048
"""Bits."""
_JWS = PyJWS([*BY_ISSUERS, *BY_SECRET])


@dataclass(frozen=True)
class Token:
    """A parsed token; nothing in it is proven yet."""

    algorithm: str
    key_id: str | None
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def read_token(text: str, algorithms: Collection[str]) -> Token:
    """Parses a token of one of these algorithms. Raises Refused for anything else."""
    if len(text) > _MAX_TOKEN:
        raise Refused("the token is too long")
    try:
        parts = _JWS.decode_complete(text, options={"verify_signature": False})
        claims = read_json(parts["payload"].decode())
        refuse_unstorable(claims)
    except (PyJWTError, BadBody, ValueError, RecursionError):
        raise Refused("the token has another form") from None
    header = parts["header"]
    # Never trust the token's algorithm: it would let the token choose how it is checked.
    if header.get("alg") not in algorithms:
        raise Refused(f"the token is not signed with {_names_of(algorithms)}")
    if not isinstance(claims, dict):
        raise Refused("the token has another form")
    signed = text.rpartition(".")[0].encode()
    return Token(header["alg"], header.get("kid"), claims, signed, parts["signature"])


def _names_of(algorithms: Collection[str]) -> str:
    return next(iter(algorithms)) if len(algorithms) == 1 else "RS, PS, ES or EdDSA"


def check_signature(token: Token, keys: Iterable[Any]) -> None:
    """Raises Refused unless the token is signed with one of these keys: public keys, or the bytes
    of a shared one."""
    reason = "the token's key is not one of the issuer's"
    for key in keys:
        if _is_signed_with(key, token):
            return
        reason = "the token's signature does not match"
    raise Refused(reason)


def _is_signed_with(key: Any, token: Token) -> bool:
    if isinstance(key, RSAPublicKey) and key.key_size < _SHORTEST_RSA_KEY:
        return False
    algorithm = _JWS.get_algorithm_by_name(token.algorithm)
    try:
        return algorithm.verify(token.signed, algorithm.prepare_key(key), token.signature)
    except (PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):  # a key for another algorithm
        return False


def check_claims(
    token: Token,
    *,
    issuers: Collection[str] | None = None,
    audiences: Collection[str] | None,
    now: float,
    tolerance: float = CLOCK_SKEW,
    needed: Collection[str] = ("exp", "iat"),
) -> None:
    """Raises Refused unless the token is of one of these issuers, meant for one of these audiences
    (None: any), and valid now. `tolerance`: seconds that clocks may differ. `needed`: times that it
    must have."""
    claims = token.claims
    if issuers is not None and not _is_among(claims.get("iss"), issuers):
        raise Refused("the token has another issuer")
    given = claims.get("aud")
    if audiences is not None and not any(
        _is_among(one, audiences) for one in (given if isinstance(given, list) else [given])
    ):
        raise Refused("the token has another audience")
    times = {
        name: time_in(claims, name)
        for name in ("exp", "nbf", "iat")
        if name in claims or name in needed
    }
    if times.get("exp", math.inf) < now - tolerance:
        raise Refused("the token has expired")
    if max(times.get("iat", -math.inf), times.get("nbf", -math.inf)) > now + tolerance:
        raise Refused("the token is from the future")


def _is_among(value: Any, expected: Collection[str]) -> bool:
    return isinstance(value, str) and value in expected


def write_shared_token(claims: dict[str, Any], key: bytes) -> str:
    """The HS256 token with these claims."""
    parts = [
        json.dumps(part, separators=(",", ":")).encode()
        for part in ({"alg": SHARED, "typ": "JWT"}, claims)
    ]
    text = b".".join(map(_encoded, parts))
    # Not by PyJWT's `encode`, which warns of keys that are as short as the platform makes them.
    return b".".join((text, _encoded(_JWS.get_algorithm_by_name(SHARED).sign(text, key)))).decode()


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def time_in(claims: Mapping[str, Any], name: str) -> float:
    """The claim as Unix seconds. Raises Refused for anything else."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused("the token has no valid time")
    if isinstance(value, float) and not math.isfinite(value):
        raise Refused("the token has no valid time")
    return value


def read_object(content: bytes, otherwise: str) -> dict[str, Any]:
    """The JSON object that an issuer publishes. Raises ValueError for anything else: with the text
    `otherwise`, unless it isn't JSON at all."""
    try:
        value = json.loads(content)
    except RecursionError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(otherwise)
    return value
