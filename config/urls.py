"""URLs and networks in settings and definitions: which are valid, and what of them people may see."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit


def parts_of(url: str) -> SplitResult | None:
    """The parts of an http or https URL; None if the text isn't a whole one."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_whole else None


def is_loopback(host: object) -> bool:
    """Whether this address or name is the loopback interface: ``127.0.0.1``, ``[::1]``,
    ``localhost``."""
    name = str(host or "").strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def check_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """The network, if an address can be in it: one of IPv4 is never compared as IPv6. Raises
    ValueError."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None:
        raise ValueError(
            "IPv4 written as IPv6, which no address matches; write"
            f" {mapped}/{network.prefixlen - 96}"
        )
    return network


def without_user(url: str) -> str:
    """The URL without the user and the password that it may hold, for everything that people see."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def check_database_url(url: str) -> str:
    """The URL, if a store may have it. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and rest != "/":
        return url
    if scheme in ("postgresql", "postgres") and rest:
        return url
    raise ValueError(
        "neither SQLite nor PostgreSQL; write sqlite:///PATH, such as sqlite:///data/bridge.db, or "
        "postgresql://USER@HOST/DATABASE"
    )


def without_password(url: str) -> str:
    """The URL with ``***`` in place of its password, wherever that is."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        return url
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "@" in path:  # a / in the password makes its end ambiguous
        return f"{scheme}://***"
    name, colon, _ = user.partition(":")
    path, question, query = path.partition("?")
    if "password" in query:
        pairs = parse_qsl(query, keep_blank_values=True)
        query = urlencode(
            [(key, "***" if "password" in key else value) for key, value in pairs], safe="*,/"
        )
    return f"{scheme}://{name}{':***' if colon else ''}{at}{hosts}{slash}{path}{question}{query}"
