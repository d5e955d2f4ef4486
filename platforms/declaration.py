"""What a platform is: how it proves, challenges, repeats and wants to be answered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from platforms.bodies import Bodies, Body
from platforms.request import Answer, Request
from platforms.verifiers.terms import Terms, Verifier

MB = 1024 * 1024


@dataclass(frozen=True)
class Accepted:
    """A delivery whose events are stored, or that `only` doesn't let in."""

    event_ids: tuple[str, ...]
    """None of a delivery that `only` doesn't let in, or of an empty array."""
    duplicate: bool
    """Whether all of its events were there already."""
    value: Any
    """The body."""
    fields: dict[str, Any]
    """What the relay answers unless the platform needs something else."""


DeliveryId = Callable[[Request, Any], str | None]
"""From a request and its body to the id that the platform repeats when it delivers again."""


@dataclass(frozen=True)
class Platform:
    """A platform, in the words of its own documentation. Each folder of `platforms` declares one."""

    name: str
    """As definitions have it: the folder's name, with hyphens."""
    title: str = ""
    """Its name as people write it."""
    purpose: str = ""
    """What its events are about."""
    made_by: Literal["platform", "us", "nobody"] = "platform"
    """Who makes the secret up: the platform, which shows it, or whoever connects it (us)."""
    secret_label: str = "Secret"
    """What the platform calls the secret."""
    verifier: Verifier | None = None
    """How its deliveries are proven; applied where the webhook has the required settings."""
    required: frozenset[str] = frozenset({"secret"})
    """Settings that a webhook needs."""
    options: frozenset[str] = frozenset()
    """Further settings that it understands."""
    challenge_only: bool = False
    """Whether an answered challenge can stand in for the secret."""
    challenge_settings: frozenset[str] = frozenset()
    """Settings without which its challenge can't be answered."""
    vendor_keys: bool = False
    """Whether deliveries are proven by public keys that are fetched from the vendor; others don't wait for that."""
    pinned_by: tuple[str, ...] = ()
    """A setting, and lower-case names of headers, of which one must say whose deliveries are taken, where the vendor
    signs for everybody."""
    tolerance: float | None = None
    """Seconds that a signed time may be away from now; None for any."""
    methods: frozenset[str] = frozenset({"POST"})
    """Methods of deliveries and challenges."""
    max_body: int = MB
    """Bytes of the largest body."""
    bodies: Bodies = "json"
    """What its bodies are, whatever their content type says, which nobody signs."""
    read: Callable[[Request, bool], Body] | None = None
    """How bodies are read, where that is another way again; told whether a signature covers the body and nothing else.
    Raises BadBody, nothing else."""
    delivery_id: DeliveryId | None = None
    """Where in the body the id is. Used if the body is proven; without one a digest of what is signed is the id."""
    element_id: Callable[[Any], str | None] | None = None
    """The same of an element of a JSON array."""
    header_id: DeliveryId | None = None
    """Where in the headers it is. Nobody signs them: used only where the proof is of the sender."""
    alike: bool = False
    """Whether different events may be the same to the byte, so that no digest can tell a repetition."""
    challenge: Callable[[Request, Terms], Answer | None] | None = None
    """The answer to a challenge that is not signed; None for any other request. May raise Refused."""
    signed_challenge: Callable[[Any, Terms], Answer | None] | None = None
    """The same of a body that has been verified."""
    answer: Callable[[Accepted], Answer] | None = None
    """The answer to an accepted delivery, where the platform needs its own."""
    conceal: Callable[[Any], Any] | None = None
    """The body without the secrets in it; the same object if there were none."""
    secret_headers: frozenset[str] = frozenset()
    """Lower-case names of headers that carry secrets (those with ``signature`` in their names always do)."""
    find_secret_problem: Callable[[str], str | None] | None = None
    """What a secret should be, if this one can't be used."""
    mistaken_key: tuple[str, str] | None = None
    """How another key of the platform, often entered as the secret by mistake, begins (a regular expression), and what
    it is."""

    def __post_init__(self) -> None:
        # An HMAC scheme of one's own, and an id of one's own, can be asked for beside every platform's.
        object.__setattr__(self, "options", self.options | {"signature", "dedup"})

    @property
    def own_settings(self) -> tuple[str, ...]:
        """What a webhook of this platform may be given beside its secret, required settings first."""
        others = (self.required | self.options | self.challenge_settings) - {"secret", "signature", "dedup"}
        return tuple(sorted(others, key=lambda setting: (setting not in self.required, setting)))

    @property
    def needs_secret(self) -> bool:
        """Whether a webhook can't be made without a secret."""
        return "secret" in self.required and not self.challenge_only


# --- delivery ids ------------------------------------------------------------------------------------------


def in_header(*names: str) -> DeliveryId:
    """The id is in the first of these headers that is there."""
    lower = tuple(name.lower() for name in names)

    def find(request: Request, _value: Any) -> str | None:
        for name in lower:
            if value := request.headers.get(name):
                return value
        return None

    return find


def in_body(*path: str) -> DeliveryId:
    """The id is at these keys of the body."""

    def find(_request: Request, value: Any) -> str | None:
        return at(value, *path)

    return find


def body_with_time(*path: str) -> DeliveryId:
    """A digest of a body that has the time of its event at these keys, where what is signed has that of the attempt."""

    def find(request: Request, value: Any) -> str | None:
        return digest(request.body) if at(value, *path) is not None else None

    return find


def first_of(*ways: DeliveryId) -> DeliveryId:
    """The first id that is there."""

    def find(request: Request, value: Any) -> str | None:
        return next((found for way in ways if (found := way(request, value)) is not None), None)

    return find


def at(value: Any, *path: str) -> str | None:
    """The text or number at these keys, as text; None if there is none."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" else None


def together(ids: Sequence[str | None]) -> str | None:
    """One id for several things that came together; None if one of them, or all, have none."""
    known = [one for one in ids if one is not None]
    if not known or len(known) < len(ids):
        return None
    return known[0] if len(known) == 1 else digest(*known)


def digest(*parts: str | bytes) -> str:
    """A short text that is another one for other parts."""
    summary = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        summary.update(len(data).to_bytes(8, "big") + data)
    return "sha256:" + summary.hexdigest()
