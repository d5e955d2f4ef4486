"""The proxies that are trusted about a request's origin: a number of hops, or their networks."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

_MOST_HOPS = 100


@dataclass(frozen=True, slots=True)
class Proxies:
    """The value of BRIDGE_TRUSTED_PROXIES; false if no proxy is trusted."""

    hops: int = 0
    """The number of proxies in front, whatever their addresses."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """The proxies' networks, however many proxies there are; `hops` is then unset."""

    @property
    def everyone(self) -> bool:
        """Whether every client counts as a proxy, as with ``0.0.0.0/0``."""
        return any(not network.prefixlen for network in self.networks)

    def __bool__(self) -> bool:
        return bool(self.hops or self.networks)


def parse_proxies(value: object) -> Proxies:
    """Parses a number such as 1, or addresses and networks separated by commas. Raises ValueError for anything else."""
    if isinstance(value, Proxies):
        return value
    text = str(value).strip()
    if text.removeprefix("-").isdecimal():
        if text.startswith("-"):
            raise ValueError("less than 0; write 0 or more")
        if len(text) > 3 or int(text) > _MOST_HOPS:
            raise ValueError(f"more than {_MOST_HOPS} hops; write the number of your proxies")
        return Proxies(hops=int(text))
    networks = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            network = ip_network(part)
        except ValueError:
            raise ValueError(
                f"{part!r} is neither a number of proxies nor a network; write one such as 1, or 10.0.0.0/8,fd00::/8"
            ) from None
        networks.append(network)
    return Proxies(networks=tuple(networks))


TrustedProxies = Annotated[Proxies, NoDecode, BeforeValidator(parse_proxies)]
