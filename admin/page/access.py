"""Who may see the page: with BRIDGE_ADMIN_TOKEN whoever has it, without it only this machine.

And which requests may change something: none that another site has a browser send.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from config.loopback import is_loopback

COOKIE = "bridge_admin"
SESSION_SECONDS = 12 * 3600


class NotAllowed(Exception):
    """The request may not be answered; the text says why, for whoever set the bridge up."""


def check_local(environ: Mapping[str, Any], trusted_proxies: int = 0) -> None:
    """Raises NotAllowed unless nothing but this machine can have sent the request.

    The name asked for counts as well as the addresses: with a name of its own that leads to 127.0.0.1, a web site
    could otherwise have a browser on this machine read the page.
    """
    remedy = "set BRIDGE_ADMIN_TOKEN to let others see this page, or open it on the bridge's own machine"
    connection = environ.get("gunicorn.socket")
    bound = environ.get("SERVER_NAME")
    if connection is not None:
        try:
            name = connection.getsockname()
            bound = name[0] if isinstance(name, tuple) else "a socket"
        except OSError:
            bound = "a closed socket"
    if not is_loopback(bound):
        raise NotAllowed(f"the page listens on {bound}, not on loopback; {remedy}")
    if not is_loopback(environ.get("REMOTE_ADDR")):
        raise NotAllowed(f"the request comes from another machine; {remedy}")
    if trusted_proxies or any(
        name in environ for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
    ):
        raise NotAllowed(f"the request comes through a proxy; {remedy}")
    if not is_loopback(_host_name(str(environ.get("HTTP_HOST") or ""))):
        raise NotAllowed(f"the page was asked for by another name than localhost; {remedy}")


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def check_same_site(method: str, headers: Mapping[str, str], host: str) -> None:
    """Raises NotAllowed for a request that could change something and that another site caused."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return
    site = headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        raise NotAllowed("the request was caused by another site")
    origin = headers.get("Origin")
    if origin is not None:
        try:
            same = urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            same = False
        if not same:
            raise NotAllowed("the request was caused by another site")


class Sessions:
    """Cookies of people who gave the token, and the tokens of their forms. Nothing is kept: both are signed."""

    def __init__(self, token: str | None):
        self._token = token.encode() if token else None
        # Without a token there is nobody to let in, only forms to protect: then a key of this process will do.
        self._key = hashlib.sha256(b"session:" + self._token).digest() if self._token else secrets.token_bytes(32)

    def is_token(self, given: str | None) -> bool:
        """Whether this is the token."""
        return (
            self._token is not None
            and given is not None
            and hmac.compare_digest(
                hashlib.sha256(given.encode("utf-8", "replace")).digest(), hashlib.sha256(self._token).digest()
            )
        )

    def new(self) -> str:
        """A cookie that is good for `SESSION_SECONDS`."""
        text = f"{int(time.time()) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
        return f"{text}.{self._sign('cookie', text)}"

    def is_valid(self, cookie: str | None) -> bool:
        """Whether the cookie is one of ours and not too old."""
        text, dot, signature = (cookie or "").rpartition(".")
        if not dot or not hmac.compare_digest(signature.encode(), self._sign("cookie", text).encode()):
            return False
        until = text.partition(".")[0]
        return until.isdecimal() and int(until) > time.time()

    def form_token(self, cookie: str) -> str:
        """What a form carries, so that only a page of ours can have made it."""
        return self._sign("form", cookie)

    def is_form_token(self, cookie: str | None, given: str | None) -> bool:
        """Whether the form was made for the holder of this cookie."""
        return bool(cookie and given) and hmac.compare_digest(
            str(given).encode("utf-8", "replace"), self.form_token(str(cookie)).encode()
        )

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode("utf-8", "replace"), "sha256").hexdigest()
