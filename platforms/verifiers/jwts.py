"""Bearer tokens of any issuer, whose keys are found by OpenID discovery or at a URL of the
definition."""

# https://datatracker.ietf.org/doc/html/rfc7519,
# https://openid.net/specs/openid-connect-discovery-1_0.html

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from platforms.http import Request
from platforms.verifiers.compare import bearer_token, required_header
from platforms.verifiers.protocol import (
    OF_DEFINITION,
    Check,
    Credentials,
    Draft,
    Fetch,
    Part,
    Proof,
)
from platforms.verifiers.refused import CannotSign, Refused
from platforms.verifiers.tokens import (
    BY_ISSUERS,
    Token,
    check_claims,
    check_signature,
    read_object,
    read_token,
)

_DISCOVERY = "/.well-known/openid-configuration"
_MOST_KEYS = 100
_MOST_TRIED = 10
"""Keys that a token without a key id is tried with."""

FindWrong = Callable[[Mapping[str, Any]], str | None]
"""Returns why the claims aren't those that the definition expects; None if they are."""


def _as_expected(claims: Mapping[str, Any]) -> str | None:
    return None


@dataclass(frozen=True)
class Jwt:
    """A token of this issuer in a header."""

    issuer: str
    audiences: tuple[str, ...] | None = None
    """The token is for one of these; None for any."""
    jwks: str | None = None
    """The URL of the issuer's keys; None for OpenID discovery."""
    header: str = "Authorization"
    find_wrong: FindWrong = field(default=_as_expected, compare=False)
    covers: ClassVar[frozenset[Part]] = frozenset({"sender"})

    def check(self, credentials: Credentials) -> Check:
        name = self.header.lower()
        keys = IssuerKeys(self.issuer, self.jwks, credentials.fetch)
        tolerance = credentials.tolerance or 0.0

        def check(request: Request) -> Proof:
            if name == "authorization":
                text = bearer_token(request)
            else:
                text = _bare(required_header(request, name))
            token = read_token(text, BY_ISSUERS)
            # Whatever needs no key comes first, so that a stranger who guesses causes no fetch.
            check_claims(
                token,
                issuers=[self.issuer],
                audiences=self.audiences,
                now=request.now,
                tolerance=tolerance,
                needed=["exp"],
            )
            check_signature(token, keys.of(token))
            wrong = self.find_wrong(token.claims)
            if wrong is not None:
                raise Refused(wrong)
            return Proof(None, url=True, claims=token.claims)

        return check

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        if any(name.lower() == self.header.lower() for name in draft.headers):
            return draft
        raise CannotSign(
            f"only {self.issuer} can make its tokens: give one in the header {self.header}"
        )


def _bare(value: str) -> str:
    return value[7:].strip() if value[:7].lower() == "bearer " else value


class IssuerKeys:
    """The keys of an issuer, by way of a cache that refreshes them, and keeps nothing that can't be
    read as keys."""

    def __init__(self, issuer: str, jwks: str | None, fetch: Fetch):
        self._issuer = issuer
        self._jwks = jwks
        self._fetch = fetch
        self._found = (b"", "")
        """The issuer's configuration, and the URL of keys that it names."""
        self._known = _Keys(b"", [])

    def of(self, token: Token) -> Iterator[Any]:
        """The keys that may have signed the token. If there seem to be none, they are fetched
        again, which is done seldom enough whatever tokens name. Raises KeysUnavailable."""
        known = self._keys(fresh=False)
        found = list(known.of(token))
        yield from found
        if found and token.key_id is not None:
            return
        renewed = self._keys(fresh=True)
        if renewed is not known:
            yield from renewed.of(token)

    def _keys(self, fresh: bool) -> _Keys:
        url = self._jwks or self._discovered()
        content = self._fetch(url, fresh=fresh, remote=OF_DEFINITION, read=_keys_in)
        if content != self._known.content:
            self._known = _Keys(content, _keys_in(content))
        return self._known

    def _discovered(self) -> str:
        content = self._fetch(
            self._issuer.rstrip("/") + _DISCOVERY, remote=OF_DEFINITION, read=self._url_in
        )
        if content != self._found[0]:
            self._found = content, self._url_in(content)
        return self._found[1]

    def _url_in(self, content: bytes) -> str:
        """Raises ValueError for anything but the issuer's configuration."""
        configuration = _object_in(content)
        if configuration.get("issuer") != self._issuer:
            raise ValueError("the issuer's configuration is of another issuer")
        url = configuration.get("jwks_uri")
        # Plain HTTP is for an issuer on the same machine, which the definition names so.
        schemes = {"https", urlsplit(self._issuer).scheme}
        if not isinstance(url, str) or urlsplit(url).scheme not in schemes:
            raise ValueError("the issuer's configuration has no usable URL of keys")
        return url


class _Keys:
    """A JSON Web Key Set."""

    def __init__(self, content: bytes, keys: list[dict[str, Any]]):
        self.content = content
        self._keys = keys
        self._made: dict[tuple[int, str], Any] = {}

    def of(self, token: Token) -> Iterator[Any]:
        """Those with the token's key id, or, if it has none, the first few; of its algorithm."""
        left = _MOST_TRIED
        for place, written in enumerate(self._keys):
            if token.key_id is not None and written.get("kid") != token.key_id:
                continue
            key = self._key(place, written, token.algorithm)
            if key is not None and left:
                left -= 1
                yield key

    def _key(self, place: int, written: dict[str, Any], algorithm: str) -> Any:
        if (place, algorithm) not in self._made:
            self._made[place, algorithm] = _public_key(written, algorithm)
        return self._made[place, algorithm]


def _public_key(written: dict[str, Any], algorithm: str) -> Any:
    """The key; None if it isn't for signatures by this algorithm."""
    operations = written.get("key_ops", ["verify"])
    if (
        written.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
    ):
        return None
    kinds = {"R": "RSA", "P": "RSA", "E": "EC"} | ({"E": "OKP"} if algorithm == "EdDSA" else {})
    if (
        written.get("alg", algorithm) != algorithm
        or written.get("kty") != kinds[algorithm[0]]
        or "d" in written
    ):
        return None
    try:
        return PyJWK(written, algorithm).key
    except (PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _keys_in(content: bytes) -> list[dict[str, Any]]:
    """Raises ValueError for anything but a set of keys."""
    keys = _object_in(content).get("keys")
    if not isinstance(keys, list):
        raise ValueError("what the issuer publishes is no set of keys")
    return [key for key in keys[:_MOST_KEYS] if isinstance(key, dict)]


def _object_in(content: bytes) -> dict[str, Any]:
    return read_object(content, "what the issuer publishes can't be read")
