"""Senders' addresses, as sockets and proxies write them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LONGEST = 100
_OWN_PREFIX = 64
"""Bits: a subscriber gets an IPv6 prefix at most this long, and chooses the rest of the address."""


def read_address(text: str | None) -> Address | None:
    """Parses an address; None if the text isn't one. Drops a zone, and the port and brackets that
    some proxies write. An IPv4 address written as IPv6 becomes an IPv4 address."""
    text = (text or "").strip()
    if not text or len(text) > _LONGEST:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether the address is in one of the networks."""
    return any(address.version == network.version and address in network for network in networks)


def subscriber_of(address: Address) -> Address:
    """One address for everyone who could choose this one: itself for IPv4, the first of its /64 for
    IPv6."""
    if isinstance(address, IPv4Address):
        return address
    return IPv6Address(int(address) >> (128 - _OWN_PREFIX) << (128 - _OWN_PREFIX))
