"""An issuer of tokens on this machine, with OpenID discovery; PyJWT signs, as issuers' own
libraries do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from tests.support.relay import NOW
from tools.servers.http_server import Handler, HttpServer

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE: dict[str, Any] = {
    "RS256": RSA,
    "RS512": RSA,
    "PS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
"""Algorithm → key."""
CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/keys"


def public_jwk(algorithm: str, key: Any, key_id: str | None = None, **more: Any) -> dict[str, Any]:
    """The public key as a JSON Web Key."""
    found: dict[str, Any] = get_default_algorithms()[algorithm].to_jwk(
        key.public_key(), as_dict=True
    )
    return {name: value for name, value in found.items() if name != "key_ops"} | (
        {"kid": key_id} if key_id else {}
    ) | more  # fmt: skip


@dataclass
class Issuer:
    """What it publishes at which path, and how often it was asked."""

    url: str
    pages: dict[str, Any] = field(default_factory=dict)
    """Path → an object that is sent as JSON, bytes, or a number: the status of an error."""
    asked: Counter[str] = field(default_factory=Counter)

    def publish(self, *keys: dict[str, Any]) -> None:
        """These are its keys now."""
        self.pages[CONFIGURATION] = {"issuer": self.url, "jwks_uri": self.url + KEYS}
        self.pages[KEYS] = {"keys": list(keys)}

    def token(
        self, algorithm: str = "RS256", key: Any = None, key_id: str | None = "k1", **claims: Any
    ) -> str:
        """A token that is good for the audience `hooks`, changed by these claims; None leaves one
        out."""
        usual = {
            "iss": self.url,
            "aud": "hooks",
            "exp": int(NOW) + 300,
            "scope": "orders",
            **claims,
        }
        given = {name: value for name, value in usual.items() if value is not None}
        headers = {"kid": key_id} if key_id else {}
        return jwt.encode(
            given, PRIVATE[algorithm] if key is None else key, algorithm, headers=headers
        )

    def bearer(self, *arguments: Any, **claims: Any) -> dict[str, str]:
        """The header with such a token."""
        return {"Authorization": f"Bearer {self.token(*arguments, **claims)}"}


@contextmanager
def serving() -> Iterator[Issuer]:
    """An issuer that answers."""

    class Publishing(Handler):
        def do_GET(self) -> None:
            issuer.asked[self.path] += 1
            page = issuer.pages.get(self.path, 404)
            if isinstance(page, int):
                self.say(page, headers={"Location": issuer.url + KEYS})
            else:
                self.say(200, page if isinstance(page, bytes) else json.dumps(page).encode())

    with HttpServer(Publishing) as server:
        issuer = Issuer(server.url)
        known = [(name, key) for name, key in PRIVATE.items() if name not in ("RS512", "PS256")]
        issuer.publish(*(public_jwk(name, key, "k1") for name, key in known))
        yield issuer
