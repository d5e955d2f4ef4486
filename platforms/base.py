"""What a platform is: how it proves, challenges and repeats deliveries, and how it wants them
answered.

Most platforms are only data: rows of `platforms.table`. One that does something of its own is a
class in its folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from typing_extensions import dataclass_transform

from platforms.bodies import Bodies, Body, read_delivery
from platforms.http import Request, Response, json_response, text_response
from platforms.summary import SummaryPart
from platforms.verifiers.protocol import Credentials, Verifier
from platforms.verifiers.public_keys import problem_of

MB = 1024 * 1024

ChosenProof = Literal["headers", "signature", "jwt", "mtls", "challenge", "callback", "none"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A delivery whose events are stored, or that `only` filters out."""

    event_ids: tuple[str, ...]
    """Empty for a delivery that `only` filters out, or an empty array."""
    value: Any
    """The body."""
    fields: dict[str, Any]
    """The relay's answer unless the platform needs another."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """A proven delivery that is no event, and wants an answer of its own."""

    at: tuple[str, ...]
    """The keys that lead to the text by which it is known."""
    says: str
    """That text."""
    answer: Response | str = "challenge"
    """The answer, or the key of a text that is returned: as a JSON object with that key."""
    as_text: bool = False
    """Whether the text is returned as it is."""

    def respond(self, value: Any) -> Response | None:
        """None if the body is something else."""
        if at(value, *self.at) != self.says:
            return None
        if isinstance(self.answer, Response):
            return self.answer
        returned = member(value, self.answer)
        if not isinstance(returned, str):
            return None
        return text_response(returned) if self.as_text else json_response({self.answer: returned})


@dataclass_transform(kw_only_default=True, eq_default=False)
class _Declared:
    """What is declared by keywords, as a dataclass is; a class may declare the same by its
    attributes."""

    def __init__(self, **declared: Any):
        for unknown in declared.keys() - Platform.__annotations__.keys():
            raise TypeError(
                f"platform {declared.get('name')}: platforms/base.py has no `{unknown}` to declare"
            )
        vars(self).update(declared)


class Platform(_Declared):
    """A platform, in the words of its own documentation.

    Anything a platform doesn't declare has these defaults; None means that it has no such thing.
    """

    name: str = ""
    """The name in definitions: the folder's name, with hyphens."""
    title: str = ""
    """Its name as people write it."""
    purpose: str = ""
    """What its events are about."""
    made_by: Literal["platform", "us", "nobody"] = "platform"
    """Who generates the secret: the platform, which shows it, or we, when connecting it."""
    made_as_whsec: bool = False
    """Whether a secret that we generate is ``whsec_…``, as Standard Webhooks write it."""
    secret_label: str = "Secret"
    """What the platform calls the secret."""
    read_key: Callable[[str], object] | None = None
    """Reads a secret, if not any text can be one. Raises ValueError, whose text says what it should
    be."""
    command: str = ""
    """How its own command line registers a webhook, with {url} and {secret}; empty if it can't."""

    verifier: Verifier | None = None
    """How its deliveries are proven; applies if the webhook has the required settings."""
    required: frozenset[str] = frozenset({"secret"})
    """Settings that a webhook needs."""
    options: frozenset[str] = frozenset()
    """Further settings that it has, besides `signature` and `dedup`, which all platforms have."""
    proofs: tuple[ChosenProof, ...] = ()
    """What a definition chooses its proof from, where the platform has no scheme of its own: the
    first by default."""
    challenge_only: bool = False
    """Whether an answered challenge can stand in for the secret."""
    challenge_proves: bool = False
    """Whether an unsigned challenge is answered only if its sender knows a secret of the webhook.
    """
    challenge_settings: frozenset[str] = frozenset()
    """Settings without which its challenge can't be answered."""
    confirmed: bool = True
    """Whether somebody else's code or page, which its README names, confirms how its deliveries are
    proven."""
    vendor_keys: bool = False
    """Whether deliveries are proven by public keys that are fetched from the vendor."""
    pinned_by: tuple[str, ...] = ()
    """For a vendor that signs for all of its customers: a setting and lower-case names of headers,
    one of which must say whose deliveries are accepted."""
    mistaken_key: tuple[str, str] | None = None
    """The prefix (a regular expression) of another key of the platform that is often entered as the
    secret by mistake, and what that key is."""
    tolerance: float | None = None
    """Seconds by which a signed time may differ from now; None for any."""

    answer_within: float | None = None
    """Seconds after which it takes a delivery without an answer for failed; None if its
    documentation names none."""

    methods: frozenset[str] = frozenset({"POST"})
    """The HTTP methods of deliveries."""
    challenge_methods: frozenset[str] = frozenset()
    """Further HTTP methods, only for challenges. A HEAD asks whether the URL exists, and is
    answered 200."""
    max_body: int = MB
    """Bytes of the largest body."""
    bodies: Bodies = "json"
    """The format of its bodies, whatever their unsigned content type says."""
    batches: bool = False
    """Whether a body may be an array of events."""
    ignores_dedup: bool = False
    """Whether its proof covers so little of a delivery that what it signs alone tells deliveries
    apart, whatever a definition's `dedup` says."""
    secret_headers: frozenset[str] = frozenset()
    """Lower-case names of headers that carry secrets (those with ``signature`` in their names
    always do)."""
    handshake: Handshake | None = None
    """Its challenge, if that is proven as deliveries are."""
    no_events: Response | None = None
    """The answer to a proven delivery whose array at `events_at` is empty or null, which is a test
    and no event."""
    answer: Response | None = None
    """The answer to an accepted delivery, if the platform takes no other."""
    empty_refusals: bool = False
    """Whether a 401 must have no body."""
    secret_in_body: bool = False
    """Whether the secret itself is in the bodies, so that none may be kept as it came."""

    id_at: tuple[str, ...] = ()
    """The keys that lead to a delivery's id in the body: see `delivery_id`."""
    scope_at: tuple[str, ...] = ()
    """The keys that lead to what the id is unique within, such as a subscription; unless it is
    unique by itself."""
    element_id_at: tuple[str, ...] = ()
    """The same within an element of a body that is an array, or of the array at `events_at`: see
    `element_id`."""
    element_scope_at: tuple[str, ...] = ()
    events_at: tuple[str, ...] = ()
    """The keys that lead to the array of a delivery's events, whose ids together are the
    delivery's."""
    time_at: tuple[str, ...] = ()
    """The keys that lead to the event's time, for a platform that signs each attempt's own time, so
    that what is signed differs between attempts: a body with that time is identified by its
    digest."""
    varying: frozenset[str] = frozenset()
    """Top-level keys of such a body that differ between attempts themselves, and aren't part of the
    digest."""
    id_headers: tuple[str, ...] = ()
    """Lower-case names of headers, the first of which that is present has a delivery's id: see
    `header_id` and `may_come_again`."""
    topic_headers: tuple[str, ...] = ()
    """The same for the event's topic, where one body may be sent under several topics, each an
    event."""
    comes_again: Callable[[Any], bool] | None = None
    """See `may_come_again`."""

    decode: Mapping[str, Literal["json", "base64", "base64-json", "gzip"]] = MappingProxyType({})
    """JSONPath → how the text there is written, as in a definition's `decode`: applies unless that
    is ``false``."""
    types: tuple[SummaryPart, ...] = ()
    """Where an event says what kind it is: the first of these that it has."""
    summary: tuple[SummaryPart, ...] = ()
    """The values that tell people what happened, in the order in which a list shows them. Nothing
    secret. If an event has none of these, and no type, its first fields are shown."""

    @property
    def settings(self) -> frozenset[str]:
        """The settings that only some platforms have, this one among them."""
        return self.required | self.options | {"signature", "dedup"}

    @property
    def own_settings(self) -> tuple[str, ...]:
        """The settings that a webhook of this platform may have besides its secret, required ones
        first."""
        others = (self.settings | self.challenge_settings) - {"secret", "signature", "dedup"}
        return tuple(sorted(others, key=lambda setting: (setting not in self.required, setting)))

    def find_secret_problem(self, secret: str) -> str | None:
        """What a secret should be; None if this one can be used."""
        return problem_of(self.read_key, secret) if self.read_key else None

    def challenge(self, request: Request, credentials: Credentials) -> Response | None:
        """The answer to an unsigned challenge; None for any other request. May raise Refused."""
        asks_by_head = request.method == "HEAD" and "HEAD" in self.challenge_methods
        return Response(200) if asks_by_head else None

    def signed_challenge(self, value: Any, credentials: Credentials) -> Response | None:
        """The answer to a challenge in a verified body."""
        holder = member(value, *self.events_at[:-1])
        if self.no_events and isinstance(holder, dict) and not holder.get(self.events_at[-1], True):
            return self.no_events
        return self.handshake.respond(value) if self.handshake else None

    def read(self, request: Request, signed: bool) -> Body:
        """Reads the body; `signed`: whether a signature covers the body and nothing else. Raises
        only BadBody."""
        body = read_delivery(request, self.bodies, signed)
        return replace(body, batch=isinstance(body.value, list)) if self.batches else body

    def delivery_id(self, request: Request, value: Any) -> str | None:
        """The id in the body that stays the same when the platform delivers again: of an array,
        that of all elements. Used if the body is proven; without one, a digest of what is signed is
        the id."""
        if self.time_at:
            return self._id_by_time(request, value)
        events = member(value, *self.events_at)
        if (self.element_id_at or self.events_at) and isinstance(events, list):
            return together([self.element_id(event) for event in events])
        if self.id_at:
            found = within(at(value, *self.scope_at), at(value, *self.id_at))
            if found is not None:
                return found
        unsigned = [first_header(request, *self.topic_headers)]
        if self.may_come_again(value):
            unsigned.append(first_header(request, *self.id_headers))
        headers = [header for header in unsigned if header]
        return digest(*headers, request.body) if headers else None

    def _id_by_time(self, request: Request, value: Any) -> str | None:
        if not self.varying or at(value, *self.time_at) is None:
            return body_with_time(request, value, *self.time_at)
        same = {name: item for name, item in value.items() if name not in self.varying}
        return digest(json.dumps(same, sort_keys=True))

    def may_come_again(self, value: Any) -> bool:
        """Whether another event may have this body, byte for byte, so that no digest identifies a
        repetition: an unsigned header of `id_headers` tells such events apart, and nothing does if
        the platform has none."""
        return self.comes_again is not None and self.comes_again(value)

    def element_id(self, element: Any) -> str | None:
        """The same for an element of a JSON array."""
        if not self.element_id_at:
            return None
        return within(at(element, *self.element_scope_at), at(element, *self.element_id_at))

    def header_id(self, request: Request, value: Any) -> str | None:
        """The id in the headers. They aren't signed, so it is used only if the proof is of the
        sender."""
        identifier = first_header(request, *self.id_headers)
        topic = first_header(request, *self.topic_headers)
        return f"{identifier} {topic}" if identifier and topic else identifier

    def conceal(self, value: Any) -> Any:
        """The body without its secrets; the same object if it has none."""
        return value

    def respond(self, accepted: Accepted) -> Response | None:
        """The answer to an accepted delivery, if the platform needs a special one."""
        return self.answer


# --- delivery ids


def first_header(request: Request, *names: str) -> str | None:
    """The value of the first of these headers (lower-case names) that is present."""
    return next((value for name in names if (value := request.headers.get(name))), None)


def member(value: Any, *path: str) -> Any:
    """What is at these keys; None if there is nothing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def at(value: Any, *path: str) -> str | None:
    """The text or number at these keys, as text; None if there is none."""
    value = member(value, *path)
    is_text_or_number = isinstance(value, (str, int)) and not isinstance(value, bool)
    return str(value) if is_text_or_number and value != "" else None


def within(scope: str | None, identifier: str | None) -> str | None:
    """An id that is unique only within its scope, such as a subscription; alone if there is none."""
    return f"{scope} {identifier}" if scope and identifier else identifier


def always(value: Any) -> bool:
    """For `comes_again`: whatever the body."""
    return True


def has_any(*keys: str) -> Callable[[Any], bool]:
    """For `comes_again`: whether the body has one of these keys."""
    return lambda value: isinstance(value, dict) and not value.keys().isdisjoint(keys)


def body_with_time(request: Request, value: Any, *path: str) -> str | None:
    """A digest of a body that has its event's time at these keys: for platforms that sign each
    attempt's time, so that what is signed differs between attempts."""
    return digest(request.body) if at(value, *path) is not None else None


def together(ids: Sequence[str | None]) -> str | None:
    """One id for several ids; None if there are none, or one is missing."""
    known = [one for one in ids if one is not None]
    if not known or len(known) < len(ids):
        return None
    return known[0] if len(known) == 1 else digest(*known)


def digest(*parts: str | bytes) -> str:
    """A short digest, different for different parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return "sha256:" + digest.hexdigest()
