"""What a verifier is, what it gets, and what it proves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from platforms.http import Request
from platforms.verifiers.refused import CannotSign

Part = Literal["sender", "body", "fields", "time", "id", "url", "method"]
"""What a proof can cover. `sender`: only who sent the request, so everything in it is the sender's
word. `fields`: some fields of the body."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a check has proven about a request. Nothing else may decide what its event is."""

    signed: bytes | None
    """The bytes that the signature covers. None if the proof is of the sender, who may send
    anything."""
    body: bool = True
    """Whether everything that becomes the payload is covered."""
    url: bool = False
    """Whether the query is covered."""
    id: str | None = None
    """The delivery's id, if it is signed."""
    headers: frozenset[str] = frozenset()
    """Lower-case names of headers that are covered besides."""
    content: bytes | None = None
    """The body in clear, if it was sent encrypted."""
    claims: Mapping[str, Any] | None = field(default=None, hash=False)
    """What a token says that proves the sender."""

    def __and__(self, other: Proof) -> Proof:
        """Both proofs combined: the one that covers bytes determines which."""
        if self is OF_SENDER or other is OF_SENDER:  # the hot path
            return other if self is OF_SENDER else self
        claims = other.claims if self.claims is None else self.claims
        if self.signed is None or other.signed is None:
            return replace(other if self.signed is None else self, claims=claims)
        return Proof(
            self.signed,
            self.body or other.body,
            self.url or other.url,
            self.id or other.id,
            self.headers | other.headers,
            self.content or other.content,
            claims,
        )


OF_SENDER = Proof(None, url=True)
"""What a token proves: who sent the request, and nothing about its content."""


def proof_of(
    request: Request,
    message: bytes,
    *,
    url: bool = False,
    identifier: str | None = None,
    headers: frozenset[str] = frozenset(),
) -> Proof:
    """What a signature of the message proves; the message contains the body, maybe with the URL or
    an id.

    A signature over an empty body, with or without a time, proves no more than a token.
    """
    if request.body or url:
        return Proof(message, url=url, id=identifier, headers=headers)
    return OF_SENDER


Check = Callable[[Request], Proof]
"""Returns what is proven about the request; raises Refused if nothing is. If the proof is in the
body or needs a vendor's key, it may also raise `platforms.bodies.BadBody` (the body can't be read)
and KeysUnavailable. It never raises anything else."""


OF_DEFINITION = "the definition"
"""Stands for the address that named a URL, if the definition names it: no stranger can choose what
is fetched."""


class KeysUnavailable(Exception):
    """A vendor's public key can't be fetched right now, so the delivery can be neither accepted nor
    refused."""


class Fetch(Protocol):
    """Fetches vendors' public keys. If the attribute `is_mirror` is true, the mirror's operator
    vouches for them."""

    def __call__(
        self,
        url: str,
        fresh: bool = False,
        remote: str | None = None,
        read: Callable[[bytes], object] = len,
        send: bytes | None = None,
    ) -> bytes:
        """The content at the URL, from a cache unless it must be fresh. `remote` is the address
        that named the URL, None if that is proven, `OF_DEFINITION` if the definition names it.
        `read` raises ValueError for content that can't be what is at the URL, such as a page that
        says that the vendor is closed: it replaces nothing. `send` is JSON to be posted, with
        credentials, so not through a mirror. Raises KeysUnavailable."""


def no_fetch(
    url: str,
    fresh: bool = False,
    remote: str | None = None,
    read: Callable[[bytes], object] = len,
    send: bytes | None = None,
) -> bytes:
    """A `Fetch` for verifiers that need no remote key."""
    raise KeysUnavailable(f"no way to {url}")


@dataclass(frozen=True)
class Credentials:
    """One webhook's configuration for its verifiers."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    """A signature by any of them counts."""
    tolerance: float | None = None
    """Seconds by which a signed time may differ from now; None for any."""
    verify_token: str | None = field(default=None, repr=False)
    audience: str | None = None
    service_account: str | None = None
    topics: tuple[str, ...] = ()
    """ARNs, in which * means any region or name. None: any topic."""
    challenge: str | None = None
    """The name of a custom sender's challenge."""
    challenge_in_json: bool = False
    """Whether its answer is a JSON object with that name."""
    answers_head: bool = False
    """Whether a custom sender asks by HEAD, or by GET without the challenge, if the URL exists."""
    fetch: Fetch = field(default=no_fetch, compare=False)

    @property
    def first_secret(self) -> str:
        """The secret to sign with. Raises CannotSign if there is none."""
        if not self.secrets:
            raise CannotSign("the webhook has no secret to sign with")
        return self.secrets[0]


@dataclass(frozen=True)
class Draft:
    """A request to be signed."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    now: float

    def with_header(self, name: str, value: str) -> Draft:
        """The same with one more header."""
        return replace(self, headers=self.headers | {name: value})


class Verifier(Protocol):
    """How a platform proves its deliveries."""

    @property
    def covers(self) -> frozenset[Part]:
        """What its proof covers, as listed in docs/security-model.md; a test keeps the two in
        step."""

    def check(self, credentials: Credentials) -> Check:
        """The check for a webhook with these credentials; computes as much as possible in advance."""

    def sign(self, draft: Draft, credentials: Credentials) -> Draft:
        """The draft, signed as the platform would. Raises CannotSign where the bridge can't."""
