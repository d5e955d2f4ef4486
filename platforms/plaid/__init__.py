"""Plaid. The secret is ``CLIENT_ID:SECRET``, by which Plaid's API tells its public keys;
``sandbox:`` before it for the Sandbox."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from platforms.base import Platform
from platforms.http import Request
from platforms.summary import Value
from platforms.verifiers import CannotSign, Check, Credentials, Draft, Part, Proof, Refused
from platforms.verifiers.compare import equal, required_header
from platforms.verifiers.protocol import KeysUnavailable, proof_of
from platforms.verifiers.public_keys import problem_of, usable
from platforms.verifiers.timestamps import check_age
from platforms.verifiers.tokens import check_signature, read_token, time_in

_ALGORITHM = "ES256"
_KEY_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_CREDENTIALS = re.compile(
    r"(?:(sandbox|production):)?([A-Za-z0-9-]{8,64}):([A-Za-z0-9-]{8,128})", re.ASCII
)


@dataclass(frozen=True)
class _Account:
    """Who asks Plaid for its keys."""

    environment: str
    client_id: str
    secret: str

    @property
    def url(self) -> str:
        """Where Plaid tells its keys."""
        return f"https://{self.environment}.plaid.com/webhook_verification_key/get"

    def asking(self, key_id: str) -> bytes:
        """What is sent there."""
        return json.dumps(
            {"client_id": self.client_id, "secret": self.secret, "key_id": key_id}
        ).encode()


def _account(secret: str) -> _Account:
    found = _CREDENTIALS.fullmatch(secret.strip())
    if found is None:
        raise ValueError("it should be CLIENT_ID:SECRET, or sandbox:CLIENT_ID:SECRET")
    return _Account(found[1] or "production", found[2], found[3])


def _reader(key_id: str) -> Callable[[bytes], tuple[Any, Any]]:
    def read(content: bytes) -> tuple[Any, Any]:
        """The key, and when it has expired, as Plaid tells. Raises ValueError for anything else."""
        try:
            key = json.loads(content)["key"]
            if key["kid"] != key_id or key["kty"] != "EC" or key["crv"] != "P-256":
                raise ValueError("another key")
            return PyJWK(key, _ALGORITHM).key, key.get("expired_at")
        except (PyJWTError, KeyError, TypeError, AttributeError, RecursionError):
            raise ValueError("not a key of Plaid") from None

    return read


# https://plaid.com/docs/api/webhooks/webhook-verification/
@dataclass(frozen=True)
class BodyToken:
    """A token with the body's SHA-256 and the time, in a header; its key is fetched from Plaid by
    its id."""

    header: str = "Plaid-Verification"
    covers: ClassVar[frozenset[Part]] = frozenset({"time", "body"})

    def check(self, credentials: Credentials) -> Check:
        name, accounts = self.header.lower(), usable(credentials.secrets, _account)

        def keys(key_id: str, request: Request) -> Iterator[Any]:
            read, unavailable = _reader(key_id), None
            for number, account in enumerate(accounts):
                # The fragment, which is never sent, is the key's name in the cache.
                name, asked = f"{account.url}#{key_id}.{number}", account.asking(key_id)
                try:
                    key, expired_at = read(
                        credentials.fetch(name, remote=request.remote, read=read, send=asked)
                    )
                except KeysUnavailable as error:  # such as a secret that is being rotated
                    unavailable = error
                    continue
                if expired_at is not None:
                    raise Refused("the token's key has expired")
                yield key
            if unavailable is not None:
                raise unavailable

        def check(request: Request) -> Proof:
            token = read_token(required_header(request, name), [_ALGORITHM])
            # Whatever needs no key comes first.
            given = token.claims.get("request_body_sha256")
            if not isinstance(given, str) or not equal(
                given, hashlib.sha256(request.body).hexdigest()
            ):
                raise Refused("the token is for another body")
            check_age(time_in(token.claims, "iat"), request.now, credentials.tolerance)
            if token.key_id is None or not _KEY_ID.fullmatch(token.key_id):
                raise Refused("the token's key has no id of Plaid's")
            check_signature(token, keys(token.key_id, request))
            return proof_of(request, token.signed)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        raise CannotSign(
            "only Plaid can sign for itself; call /sandbox/item/fire_webhook of its Sandbox instead"
        )


class Plaid(Platform):
    name = "plaid"
    title = "Plaid"
    purpose = "bank accounts linked, transactions and transfers"
    types = ("$.webhook_code",)
    summary = (Value("$.webhook_type", before="of "), "$.item_id")
    secret_label = "client_id:secret"
    verifier = BodyToken()
    vendor_keys = True
    tolerance = 300

    def find_secret_problem(self, secret: str) -> str | None:
        return problem_of(_account, secret)


PLATFORM = Plaid()
