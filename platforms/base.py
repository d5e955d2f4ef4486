"""What a platform is: how it proves, challenges, repeats and wants its deliveries answered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from platforms.bodies import Bodies, Body, read_delivery
from platforms.http import Request, Response
from platforms.verifiers.protocol import Credentials, Verifier

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Accepted:
    """A delivery whose events are stored, or that `only` doesn't let in."""

    event_ids: tuple[str, ...]
    """None of a delivery that `only` doesn't let in, or of an empty array."""
    value: Any
    """The body."""
    fields: dict[str, Any]
    """What the relay answers unless the platform needs something else."""


class Platform:
    """A platform, in the words of its own documentation. Each folder of `platforms` declares one.

    Whatever a platform doesn't declare is as here; None means that it has nothing of the kind.
    """

    name: str
    """As definitions have it: the folder's name, with hyphens."""
    title: str
    """Its name as people write it."""
    purpose: str
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
    """Further settings that it understands, beside `signature` and `dedup`, which every platform does."""
    challenge_only: bool = False
    """Whether an answered challenge can stand in for the secret."""
    challenge_settings: frozenset[str] = frozenset()
    """Settings without which its challenge can't be answered."""
    vendor_keys: bool = False
    """Whether deliveries are proven by public keys that are fetched from the vendor."""
    pinned_by: tuple[str, ...] = ()
    """For a vendor that signs for everybody: a setting and lower-case names of headers, one of which must say whose
    deliveries are accepted."""
    mistaken_key: tuple[str, str] | None = None
    """How another key of the platform, often entered as the secret by mistake, begins (a regular expression), and what
    it is."""
    tolerance: float | None = None
    """Seconds that a signed time may be away from now; None for any."""

    methods: frozenset[str] = frozenset({"POST"})
    """HTTP methods of deliveries."""
    challenge_methods: frozenset[str] = frozenset()
    """Further HTTP methods, of challenges only."""
    max_body: int = MB
    """Bytes of the largest body."""
    bodies: Bodies = "json"
    """What its bodies are, whatever their unsigned content type says."""
    alike: bool = False
    """Whether different events may be identical to the byte, so that no digest can tell a repetition."""
    secret_headers: frozenset[str] = frozenset()
    """Lower-case names of headers that carry secrets (those with ``signature`` in their names always do)."""

    @property
    def settings(self) -> frozenset[str]:
        """All settings that only some platforms understand, and this one does."""
        return self.required | self.options | {"signature", "dedup"}

    @property
    def own_settings(self) -> tuple[str, ...]:
        """What a webhook of this platform may be given beside its secret, required settings first."""
        others = (self.settings | self.challenge_settings) - {"secret", "signature", "dedup"}
        return tuple(sorted(others, key=lambda setting: (setting not in self.required, setting)))

    def find_secret_problem(self, secret: str) -> str | None:
        """What a secret should be, if this one can't be used."""
        return None

    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """The answer to a challenge that is not signed; None for any other request. May raise Refused."""
        return None

    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """The same of a body that has been verified."""
        return None

    def read(self, request: Request, signed: bool) -> Body:
        """The body; `signed`: whether a signature covers the body and nothing else. Raises BadBody, nothing else."""
        return read_delivery(request, self.bodies, signed)

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """The id that the platform repeats when it delivers again, by the body. Used if the body is proven; without one
        a digest of what is signed is the id."""
        return None

    def element_id(self, element: Any) -> str | None:
        """The same of an element of a JSON array."""
        return None

    def header_id(self, request: Request, value: Any) -> str | None:
        """The id by the headers. Nobody signs them: used only where the proof is of the sender."""
        return None

    def conceal(self, value: Any) -> Any:
        """The body without the secrets in it; the same object if there were none."""
        return value

    def respond(self, accepted: Accepted) -> Response | None:
        """The answer to an accepted delivery, where the platform needs its own."""
        return None


# --- delivery ids ------------------------------------------------------------------------------------------


def first_header(request: Request, *names: str) -> str | None:
    """The value of the first of these headers that is there; their names in lower case."""
    return next((value for name in names if (value := request.headers.get(name))), None)


def at(value: Any, *path: str) -> str | None:
    """The text or number at these keys, as text; None if there is none."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" else None


def body_with_time(request: Request, value: Any, *path: str) -> str | None:
    """A digest of a body that has the time of its event at these keys: for a platform that signs the time of each
    attempt, so that what is signed differs from one to the next."""
    return digest(request.body) if at(value, *path) is not None else None


def together(ids: Sequence[str | None]) -> str | None:
    """One id for several things that came together; None if there are none, or one of them has none."""
    known = [one for one in ids if one is not None]
    if not known or len(known) < len(ids):
        return None
    return known[0] if len(known) == 1 else digest(*known)


def digest(*parts: str | bytes) -> str:
    """A short text that differs for different parts."""
    summary = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        summary.update(len(data).to_bytes(8, "big") + data)
    return "sha256:" + summary.hexdigest()
