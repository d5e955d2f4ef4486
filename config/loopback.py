"""Recognizes loopback addresses."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: object) -> bool:
    """Whether this address or name is the loopback interface: ``127.0.0.1``, ``[::1]``, ``localhost``."""
    name = str(host or "").strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
