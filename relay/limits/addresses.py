"""Senders' addresses, as sockets and proxies write them."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from store.rules.senders import LONGEST_ADDRESS, Address

Network = IPv4Network | IPv6Network


def read_address(text: str | None) -> Address | None:
    """Parses an address; None if the text isn't one. Drops a zone, and the port and brackets that
    some proxies write. An IPv4 address written as IPv6 becomes an IPv4 address."""
    text = (text or "").strip()
    if not text or len(text) > LONGEST_ADDRESS:
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
