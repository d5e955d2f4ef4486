"""Who is behind an address: what relay, store and admin process count and bound by sender."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

LONGEST_ADDRESS = 100
"""Characters of an address that are read or kept: a proxy may pass on anything as one."""
_OWN_PREFIX = 64
"""Bits: a subscriber gets an IPv6 prefix at most this long, and chooses the rest of the address."""


def subscriber_of(address: Address) -> Address:
    """One address for everyone who could choose this one: itself for IPv4, the first of its /64 for
    IPv6."""
    if isinstance(address, IPv4Address):
        return address
    return IPv6Address(int(address) >> (128 - _OWN_PREFIX) << (128 - _OWN_PREFIX))


@lru_cache(maxsize=4096)
def sender_of(remote: str | None) -> str:
    """The subscriber behind an address as it was recorded; the text itself if it is none, and empty
    if it is unknown."""
    try:
        return str(subscriber_of(ip_address(remote or "")))
    except ValueError:
        return remote or ""
