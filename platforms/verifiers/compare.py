"""Compares what was sent with what is expected, in constant time, whatever the bytes."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from platforms.http import Request
from platforms.verifiers.protocol import OF_SENDER, Check, Credentials, Draft, Part, Proof
from platforms.verifiers.refused import Refused


def header_bytes(value: str) -> bytes:
    """The bytes of a header's value as sent."""
    return value.encode("latin-1", "replace")


def equal(given: str | bytes, expected: str | bytes) -> bool:
    """Whether both are equal; the time taken doesn't reveal where they differ."""
    if isinstance(given, str):
        given = given.encode("utf-8", "surrogatepass")
    if isinstance(expected, str):
        expected = expected.encode("utf-8", "surrogatepass")
    return hmac.compare_digest(given, expected)


def any_equal(given: str | bytes, expected: Iterable[str | bytes]) -> bool:
    """Whether it equals one of them; all are compared, so that the time doesn't reveal which."""
    found = False
    for one in expected:
        found |= equal(given, one)
    return found


def required_header(request: Request, name: str) -> str:
    """The value of a header by its lower-case name. Raises Refused if it isn't there."""
    value = request.headers.get(name)
    if value is None:
        raise Refused(f"the header {name} is missing")
    return value


@dataclass(frozen=True)
class HeaderEquals:
    """A header whose value is the secret itself."""

    header: str
    covers: ClassVar[frozenset[Part]] = frozenset({"sender"})

    def check(self, credentials: Credentials) -> Check:
        name = self.header.lower()
        secrets = [secret.encode() for secret in credentials.secrets]

        def check(request: Request) -> Proof:
            given = header_bytes(required_header(request, name))
            if not any_equal(given, secrets):
                raise Refused(f"the header {name} has another value")
            return OF_SENDER

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        return draft.with_header(self.header, credentials.first_secret)


# https://datatracker.ietf.org/doc/html/rfc6750#section-2.1
@dataclass(frozen=True)
class Bearer:
    """``Authorization: Bearer`` and the secret."""

    covers: ClassVar[frozenset[Part]] = frozenset({"sender"})

    def check(self, credentials: Credentials) -> Check:
        secrets = [secret.encode() for secret in credentials.secrets]

        def check(request: Request) -> Proof:
            if not any_equal(header_bytes(bearer_token(request)), secrets):
                raise Refused("the header authorization has another value")
            return OF_SENDER

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        return draft.with_header("Authorization", f"Bearer {credentials.first_secret}")


def bearer_token(request: Request) -> str:
    """The token of the Authorization header. Raises Refused if there is none."""
    scheme, _, token = required_header(request, "authorization").partition(" ")
    if scheme.lower() != "bearer":
        raise Refused("the header authorization is not a bearer token")
    return token.strip()


# https://datatracker.ietf.org/doc/html/rfc7617
@dataclass(frozen=True)
class Basic:
    """A user name and a password; the secret is ``user:password``, or the password alone, with
    whatever name."""

    covers: ClassVar[frozenset[Part]] = frozenset({"sender"})

    def check(self, credentials: Credentials) -> Check:
        pairs = [secret.encode() for secret in credentials.secrets if ":" in secret]
        passwords = [secret.encode() for secret in credentials.secrets if ":" not in secret]

        def check(request: Request) -> Proof:
            scheme, _, encoded = required_header(request, "authorization").partition(" ")
            try:
                given = base64.b64decode(header_bytes(encoded.strip()), validate=True)
            except (binascii.Error, ValueError):
                given = b""
            is_known = any_equal(given, pairs) | any_equal(given.partition(b":")[2], passwords)
            if scheme.lower() != "basic" or not is_known:
                raise Refused("the header authorization has another value")
            return OF_SENDER

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        secret = credentials.first_secret
        encoded = base64.b64encode((secret if ":" in secret else f":{secret}").encode()).decode()
        return draft.with_header("Authorization", f"Basic {encoded}")
