"""Records of deliveries as such, whether or not they left an event. All times are Unix
milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["accepted", "rejected", "saved", "pruned"]
"""What a delivery is kept as. `pruned` stands for the last accepted one that is no longer kept."""


@dataclass(frozen=True, slots=True)
class RawDelivery:
    """A delivery as it came, without headers that are secrets; or as somebody wrote it, unsigned."""

    id: str
    """Of an accepted one that of the first event that it left; of a rejected one made like an
    event's, so that ids are in order of arrival."""
    webhook: str
    verdict: Verdict
    at: int
    """When it arrived (its signed time must have been fresh then), or was saved."""
    number: int = 0
    """Of an accepted one: later ones of its webhook have a greater one."""
    event_id: str | None = None
    """The event that it left; of a rejected one the event that it became when it was verified
    again: its body is no longer kept then."""
    remote: str | None = None
    """Of a rejected one."""
    status: int = 0
    """With which it was rejected."""
    reason: str = ""
    """Why it was rejected, at its arrival."""
    name: str = ""
    """Under which it was saved."""
    method: str = "POST"
    path: str = ""
    """Of a rejected one: which of the relay's paths it came by, such as ``/webhook/``."""
    url: str = ""
    """Of a rejected one: the URL as the relay saw it, without the query."""
    query: str = ""
    """Raw, as in the URL, without ``?``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """In Latin-1 as in WSGI; with lower-case names, unless it was saved."""
    body: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of body, headers and query."""
        return (
            len(self.body)
            + len(self.query)
            + sum(len(name) + len(value) for name, value in self.headers.items())
        )

    @property
    def text(self) -> str:
        """The body, for people."""
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class AnswerWanted:
    """What somebody waits for who delivered an event."""

    output: str
    """JSONPath into the workflow's output."""
    wait_until: int
    """Until when, by the store's clock."""


Kind = Literal["rejected", "filtered", "duplicate", "challenge"]
"""Why a delivery left no event."""


@dataclass(frozen=True, slots=True)
class WithoutEvent:
    """A delivery that left no event: the newest of each webhook and kind are kept, without
    secrets."""

    webhook: str
    at: int
    status: int
    """With which it was answered."""
    reason: str
    """Empty for a duplicate."""
    remote: str | None = None
    method: str = "POST"
    kept_id: str | None = None
    """The id of its `RawDelivery`; None if its bytes aren't kept."""
    event_id: str | None = None
    """The event that a duplicate repeats."""
    kind: Kind = "rejected"
    key: str = field(default="", compare=False)
    """Unique among them, and in the order in which they were recorded; empty before that."""


WRONG_TOKEN = "wrong_token"  # noqa: S105
"""Counted among the outcomes of deliveries, for no webhook: somebody gave the admin page a wrong
token."""
