"""Where a request that came through proxies comes from: X-Forwarded-*, believed from proxies that are named."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.middleware.proxy_fix import ProxyFix

from config.proxies import Proxies
from relay.addresses import is_within, read_address, without_mapped

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

ALL = ("proto", "host", "port", "prefix")
"""What proxies say, beside the address."""
_MOST_PROXIES = 20


def believing(application: WSGIApplication, proxies: Proxies, what: Collection[str] = ALL) -> WSGIApplication:
    """The application, which sees the address that the proxies say, and `what` else of `ALL`."""
    if proxies.networks:
        return FromNetworks(application, proxies, what)
    if not proxies.hops:
        return application
    return ProxyFix(application, x_for=proxies.hops, **{f"x_{one}": proxies.hops if one in what else 0 for one in ALL})


class FromNetworks:
    """Believes what comes from an address among the networks. A client that reaches the relay around its proxies is
    believed nothing.

    In X-Forwarded-For the client is the last address that is none of the proxies' own: each proxy adds whom it has
    seen, and what is before that is the client's own word.
    """

    def __init__(self, application: WSGIApplication, proxies: Proxies, what: Collection[str]):
        self._application = application
        self._networks = without_mapped(proxies.networks)
        self._what = what

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        # A peer without an address has come by a socket of this machine's.
        if environ.get("REMOTE_ADDR") and not self._is_proxy(environ["REMOTE_ADDR"]):
            return self._application(environ, start_response)
        hops = 1
        if chain := _list(environ, "for"):
            while hops < len(chain) and self._is_proxy(chain[-hops]):
                hops += 1
            client = read_address(chain[-hops])
            # Some proxies write `unknown`. That is nobody's address, and least of all the proxy's own.
            environ["REMOTE_ADDR"] = "" if client is None else str(client)
        # Not every proxy adds to the others, so those lists may be shorter.
        said = {f"x_{one}": min(hops, len(_list(environ, one))) if one in self._what else 0 for one in ALL}
        return ProxyFix(self._application, x_for=0, **said)(environ, start_response)

    def _is_proxy(self, text: str) -> bool:
        address = read_address(text)
        return address is not None and is_within(address, self._networks)


def _list(environ: dict[str, Any], what: str) -> list[str]:
    value: str = environ.get(f"HTTP_X_FORWARDED_{what.upper()}", "")
    return value.rsplit(",", _MOST_PROXIES) if value else []
