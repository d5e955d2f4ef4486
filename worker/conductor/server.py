"""Where Conductor's API is, and how the bridge gets in."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from config.settings import Settings


@dataclass(frozen=True, slots=True)
class Server:
    """A Conductor server."""

    url: str
    """Its API's, with ``/api``."""
    key: str | None = None
    secret: str | None = None
    certificate: str | None = None
    """The client's certificate: a file in PEM."""
    certificate_key: str | None = None
    """Its private key; by default in the same file."""

    @staticmethod
    def of(settings: Settings) -> Server:
        """The one that the settings name."""
        secret = settings.conductor_auth_secret
        return Server(
            settings.conductor_server_url,
            settings.conductor_auth_key,
            secret.get_secret_value() if secret else None,
            settings.bridge_conductor_cert,
            settings.bridge_conductor_cert_key,
        )

    @property
    def proxy(self) -> str | None:
        """The URL of the proxy to it, by HTTP_PROXY, HTTPS_PROXY and NO_PROXY; None if there is
        none."""
        parts = urlsplit(self.url)
        if proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        proxy = getproxies().get(parts.scheme.lower())
        if not proxy:
            return None
        if "://" not in proxy:
            return f"http://{proxy}"
        return proxy
