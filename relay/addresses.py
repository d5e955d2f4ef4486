"""Senders' addresses, as sockets and proxies write them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LONGEST = 100
_MAPPED = IPv6Network("::ffff:0:0/96")
_OWN_PREFIX = 64
"""Bits of an IPv6 address that one subscriber is given at least: the rest is his to choose."""


def read_address(text: str | None) -> Address | None:
    """The address; None for what is none. A port and brackets, as some proxies write them, and a zone are left out, and
    an IPv4 address that is written as IPv6 is an IPv4 address."""
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


def without_mapped(networks: Iterable[Network]) -> tuple[Network, ...]:
    """The networks, those of IPv4 addresses that are written as IPv6 as what they are."""
    return tuple(
        ip_network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - _MAPPED.prefixlen))
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED)
        else network
        for network in networks
    )


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether one of the networks holds the address."""
    return any(address.version == network.version and address in network for network in networks)


def subscriber_of(address: Address) -> Address:
    """What stands for everyone who can choose the address: itself, or the first one of its /64."""
    if isinstance(address, IPv4Address):
        return address
    return IPv6Address(int(address) >> (128 - _OWN_PREFIX) << (128 - _OWN_PREFIX))
