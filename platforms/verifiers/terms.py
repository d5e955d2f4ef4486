"""What a webhook's definition gives to its verifiers, and what a verifier is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from platforms.request import Request

Part = Literal["sender", "body", "fields", "time", "id", "url", "method"]
"""What a proof can cover. `sender`: nothing of the request but who sends it, so that all of it is the sender's word.
`fields`: some fields of the body."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a check has shown of a request: only this may decide what its event is."""

    signed: bytes | None
    """The bytes that the signature covers. None where the proof is of the sender, who may send anything."""
    body: bool = True
    """Whether all that becomes the payload is covered."""
    url: bool = False
    """Whether the query is covered."""
    id: str | None = None
    """The delivery's id, if it is among what is signed."""

    def __and__(self, other: Proof) -> Proof:
        """Both together: the one that covers bytes says which."""
        if self.signed is None or other.signed is None:
            return other if self.signed is None else self
        return Proof(self.signed, self.body or other.body, self.url or other.url, self.id or other.id)


OF_SENDER = Proof(None, url=True)
"""A token: it says who sends, and nothing of what."""


def proof_of(request: Request, message: bytes, *, url: bool = False) -> Proof:
    """The proof by a signature of the message, which has the body in it, or the body and the URL.

    A signature over an empty body, and perhaps a time, is no more than a token.
    """
    return Proof(message, url=url) if request.body or url else OF_SENDER


Check = Callable[[Request], Proof]
"""Says what is proven of the request. Raises Refused unless anything is. Where the proof is in the body or needs a
vendor's key, also `platforms.bodies.BadBody` if the body can't be read and KeysUnavailable if the key can't be had;
nothing else, ever."""


class KeysUnavailable(Exception):
    """A vendor's public key can't be had now, so nothing can be said of the delivery."""


class Fetch(Protocol):
    """How verifiers get at vendors' public keys. One with a true attribute `is_mirror` answers for what it serves."""

    def __call__(self, url: str, fresh: bool = False, remote: str | None = None) -> bytes:
        """What is at the URL, from a cache unless it must be fresh. `remote` is the address of who names it; None where
        that is proven. Raises KeysUnavailable."""


def no_fetch(url: str, fresh: bool = False, remote: str | None = None) -> bytes:
    """A `Fetch` for verifiers that need no key from elsewhere."""
    raise KeysUnavailable(f"no way to {url}")


@dataclass(frozen=True)
class Terms:
    """The secrets and limits of one webhook, as its verifiers need them."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Any of them may have signed."""
    tolerance: float | None = None
    """Seconds that a signed time may be away from now; None for any."""
    verify_token: str | None = field(default=None, repr=False)
    audience: str | None = None
    service_account: str | None = None
    topics: tuple[str, ...] = ()
    """ARNs, with * for any region or name. None: any topic."""
    challenge: str | None = None
    """The name of a custom sender's challenge."""
    fetch: Fetch = field(default=no_fetch, compare=False)


@dataclass(frozen=True)
class Draft:
    """A request to be signed."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    now: float

    def with_headers(self, **headers: str) -> Draft:
        """The same with further headers; write ``_`` for ``-``."""
        return replace(self, headers=self.headers | {name.replace("_", "-"): value for name, value in headers.items()})

    def with_header(self, name: str, value: str) -> Draft:
        """The same with one more header."""
        return replace(self, headers=self.headers | {name: value})


class Verifier(Protocol):
    """How a platform proves its deliveries."""

    @property
    def covers(self) -> frozenset[Part]:
        """What its proof covers: docs/security-model.md lists it, and a test holds the two together."""

    def check(self, terms: Terms) -> Check:
        """The check of a webhook with these terms; everything that can be worked out before is."""

    def sign(self, draft: Draft, terms: Terms) -> Draft:
        """The draft, signed as the platform would. Raises CannotSign where the bridge can't."""
