"""Records of deliveries as such, whether or not they left an event. All times are Unix milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RawDelivery:
    """An accepted delivery as it came, without headers that are secrets."""

    method: str
    query: str
    """Raw, as in the URL."""
    headers: Mapping[str, str]
    """Lower-case name → value, in Latin-1 as in WSGI."""
    body: bytes


@dataclass(frozen=True, slots=True)
class AnswerWanted:
    """What somebody waits for who delivered an event."""

    output: str
    """JSONPath into the workflow's output."""
    wait_until: int
    """Until when, by the store's clock."""


@dataclass(frozen=True, slots=True)
class ListedDelivery:
    """A kept delivery's place in the order of arrival."""

    id: int
    at: int
    size: int
    """Bytes of the body."""
    event_id: str
    """The first event that it left."""


@dataclass(frozen=True, slots=True)
class NoLongerKept:
    """The last delivery of a webhook that is no longer kept."""

    id: int
    at: int


@dataclass(frozen=True, slots=True)
class NumberedDelivery:
    """A `RawDelivery` as the store keeps it, with its place in the order of arrival."""

    id: int
    """Later deliveries of its webhook have a greater one."""
    at: int
    event_id: str
    method: str
    query: str
    headers: Mapping[str, str]
    body: str
    """In base64."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A delivery of an event that was there already."""

    webhook: str
    at: int
    event_id: str
    """The event that it repeats."""
    remote: str | None = None
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class WithoutEvent:
    """A delivery that left no event."""

    key: str
    """Unique among them, and in the order of arrival among those of its kind."""
    kind: Literal["rejected", "filtered", "duplicate"]
    webhook: str
    at: int
    reason: str
    """Empty for a duplicate."""
    event_id: str | None
    """The event that a duplicate repeats."""
    remote: str | None
    method: str
    kept_id: str | None = None
    """The delivery with its bytes, if a rejected one is kept."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A delivery that was rejected, or filtered by `only`: the newest are kept, without secrets."""

    webhook: str
    at: int
    status: int
    reason: str
    remote: str | None = None
    method: str = "POST"
    kept_id: str | None = None
    """The id of its `KeptDelivery`; None if its bytes weren't kept."""

    @property
    def filtered(self) -> bool:
        """Whether it was answered like an accepted one."""
        return self.status < 400


WRONG_TOKEN = "wrong_token"  # noqa: S105
"""Counted among the outcomes of deliveries, for no webhook: somebody gave the admin page a wrong token."""


@dataclass(frozen=True, slots=True)
class KeptDelivery:
    """A rejected delivery that can be verified again, since its webhook has `keep_rejected`."""

    id: str
    """Made like an event's, so that ids are in order of arrival."""
    webhook: str
    at: int
    """When it arrived: its signed time must have been fresh then."""
    status: int
    reason: str
    """Why it was refused, at its arrival."""
    remote: str | None
    method: str
    path: str
    """Which of the relay's paths it came by, such as ``/webhook/``."""
    url: str
    """The URL as the relay saw it, without the query."""
    query: str
    """Raw, as in the URL."""
    headers: dict[str, str]
    """Lower-case name → value, without those that may hold a password or token."""
    body: bytes
    event_id: str | None = None
    """The event that it became when it was verified again; its body is then no longer kept."""

    @property
    def size(self) -> int:
        """Bytes of body, headers and query."""
        return len(self.body) + len(self.query) + sum(len(name) + len(value) for name, value in self.headers.items())


@dataclass(frozen=True, slots=True)
class SavedDelivery:
    """A delivery that somebody wrote for a webhook, and saved by name: unsigned, and without what `hide` names."""

    webhook: str
    name: str
    saved_at: int
    method: str
    query: str
    """Without ``?``."""
    headers: dict[str, str]
    """In their order; the content type is one of them."""
    body: str
