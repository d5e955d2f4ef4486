"""Refused deliveries that are kept with their bytes, and which of them go when there are too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

BYTES = 16 * 1024 * 1024
"""Bytes that are kept of one webhook."""
READ_AT_ONCE = 4 * 1024 * 1024
"""Bytes after which no further delivery is read in one go."""
_SITE = 64
"""Bits of an IPv6 address that are one sender's, who has all addresses that begin so."""


@dataclass(frozen=True, slots=True)
class KeptDelivery:
    """A refused delivery that can be verified again, since its webhook has `keep_rejected`."""

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
class Kept:
    """What the choice depends on."""

    id: str
    remote: str | None
    size: int
    is_accepted: bool


def surplus(kept: Sequence[Kept], most: int, most_bytes: int = BYTES) -> list[str]:
    """The ids of those to delete of one webhook's deliveries, which are given oldest first.

    What has been accepted goes first. Then each sender that has the most loses its oldest, so that a stranger's flood
    pushes out nothing but itself.
    """
    left = {one.id: one for one in kept}
    accepted = [one.id for one in kept if one.is_accepted]
    senders = {one.id: sender_of(one.remote) for one in kept}
    while len(left) > most or sum(one.size for one in left.values()) > most_bytes:
        if accepted:
            del left[accepted.pop(0)]
            continue
        share = Counter[str]()
        for one in left.values():
            share[senders[one.id]] += 1 if len(left) > most else one.size
        largest = share.most_common(1)[0][0]
        del left[next(id_ for id_ in left if senders[id_] == largest)]
    return [one.id for one in kept if one.id not in left]


@lru_cache(maxsize=1024)
def sender_of(remote: str | None) -> str:
    """The address, of IPv6 the network that one sender has; empty if it is unknown."""
    try:
        address = ip_address(remote or "")
    except ValueError:
        return remote or ""
    return str(ip_network((address, _SITE), strict=False)) if isinstance(address, IPv6Address) else str(address)


def first_within(sized: Iterable[tuple[str, int]], most_bytes: int = READ_AT_ONCE) -> list[str]:
    """The ids of the first of these (id, bytes), up to the one with which they are more than so many bytes."""
    ids, total = [], 0
    for id_, size in sized:
        if total > most_bytes:
            break
        ids.append(id_)
        total += size
    return ids
