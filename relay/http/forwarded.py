"""Where a request that came through proxies comes from: X-Forwarded-*, trusted only from configured
proxies."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.middleware.proxy_fix import ProxyFix

from config.settings import Proxies
from relay.limits.addresses import is_within, read_address

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

BY_PROXY = "bridge.by_proxy"
"""The key in a WSGI environment that says that the request came through a trusted proxy."""
ALL = ("proto", "host", "port", "prefix")
"""What proxies tell, besides the address."""
_MOST_PROXIES = 20


def believing(
    application: WSGIApplication, proxies: Proxies, what: Collection[str] = ALL
) -> WSGIApplication:
    """The application, which sees the address that the proxies report, and those parts of `ALL`
    that are in `what`."""
    if proxies.networks:
        return FromNetworks(application, proxies, what)
    if not proxies.hops:
        return application
    fixed = ProxyFix(
        application,
        x_for=proxies.hops,
        **{f"x_{one}": proxies.hops if one in what else 0 for one in ALL},
    )

    def through_proxy(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        environ[BY_PROXY] = True
        return fixed(environ, start_response)

    return through_proxy


class FromNetworks:
    """Trusts these headers from addresses in the networks, and from nobody else: not from a client
    that bypasses the proxies.

    In X-Forwarded-For the client is the last address that isn't a proxy's: each proxy appends the
    peer it saw, and the client may have written anything before that.
    """

    def __init__(self, application: WSGIApplication, proxies: Proxies, what: Collection[str]):
        self._application = application
        self._networks = proxies.networks
        self._what = what

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        # A peer without an address connects through a Unix socket of this machine.
        if environ.get("REMOTE_ADDR") and not self._is_proxy(environ["REMOTE_ADDR"]):
            return self._application(environ, start_response)
        environ[BY_PROXY] = True
        hops = 1
        chain = _list(environ, "for")
        if chain:
            while hops < len(chain) and self._is_proxy(chain[-hops]):
                hops += 1
            client = read_address(chain[-hops])
            # Some proxies write `unknown`. That is no address, and certainly not the proxy's own.
            environ["REMOTE_ADDR"] = "" if client is None else str(client)
        # Not every proxy appends to the other headers, so their lists may be shorter.
        said = {
            f"x_{one}": min(hops, len(_list(environ, one))) if one in self._what else 0
            for one in ALL
        }
        return ProxyFix(self._application, x_for=0, **said)(environ, start_response)

    def _is_proxy(self, text: str) -> bool:
        address = read_address(text)
        return address is not None and is_within(address, self._networks)


def _list(environ: dict[str, Any], what: str) -> list[str]:
    value: str = environ.get(f"HTTP_X_FORWARDED_{what.upper()}", "")
    return value.rsplit(",", _MOST_PROXIES) if value else []
