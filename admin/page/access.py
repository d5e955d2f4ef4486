"""Who may see the page: holders of BRIDGE_ADMIN_TOKEN or BRIDGE_VIEWER_TOKEN; without a token, only
this machine.

And which requests another site may make a browser send: none but a link that a person follows.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlsplit

from itsdangerous import BadData, URLSafeTimedSerializer

from admin.errors import CantDo
from config.urls import is_loopback
from relay.limits.addresses import read_address
from relay.limits.admission import Allowance, SharedTimes, take_one
from store.rules.senders import subscriber_of
from store.sql.admin import Sessions as StoredSessions

COOKIE = "bridge_admin"
SESSION_SECONDS = 12 * 3600
_SIGNER: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


class NotAllowed(CantDo):
    """The request is refused; the text explains why to the bridge's operator."""

    status = 403


def check_local(environ: Mapping[str, Any], trusted_proxies: bool = False) -> None:
    """Raises NotAllowed unless only this machine can have sent the request.

    The host name counts as well as the addresses: otherwise a web site whose own name resolves to
    127.0.0.1 could make a browser on this machine read the page.
    """
    remedy = (
        "set BRIDGE_ADMIN_TOKEN to let others see this page, or open it on the bridge's own machine"
    )
    bound = environ.get("SERVER_NAME")
    if not is_loopback(bound):
        raise NotAllowed(f"the page listens on {bound}, not on loopback; {remedy}")
    if not is_loopback(environ.get("REMOTE_ADDR")):
        raise NotAllowed(f"the request comes from another machine; {remedy}")
    if trusted_proxies or any(
        name in environ
        for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
    ):
        raise NotAllowed(f"the request comes through a proxy; {remedy}")
    if not is_loopback(_host_name(str(environ.get("HTTP_HOST") or ""))):
        raise NotAllowed(f"the page was requested by a name other than localhost; {remedy}")


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def check_same_site(method: str, headers: Mapping[str, str], host: str) -> None:
    """Raises NotAllowed for a request that comes from another site and isn't a person who follows a
    link.

    Other requests of such a site can't read an answer, but the time it takes says whether a search
    has found something, and each holds a thread.
    """
    is_link = method in ("GET", "HEAD") and (
        headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    )
    is_foreign = headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
    origin = headers.get("Origin")
    if not is_link and (
        is_foreign or (origin is not None and origin.lower().partition("://")[2] != host.lower())
    ):
        raise NotAllowed("the request comes from another site; only a link to this page may")


Role = Literal["admin", "viewer"]
"""An admin may do everything; a viewer may see everything and change nothing."""


class Sessions:
    """Cookies of people who logged in with a token. They are signed by the store's key, which is
    read when it is first needed.

    The key is random, so that a cookie's holder can't use it to guess tokens offline. A cookie is
    no longer valid once the token that it was given for changes.
    """

    def __init__(self, token: str | None, viewer: str | None, stored: Callable[[], StoredSessions]):
        given: tuple[tuple[Role, str | None], ...] = (("admin", token), ("viewer", viewer))
        self._tokens: dict[Role, bytes] = {role: text.encode() for role, text in given if text}
        self._stored = stored

    @property
    def has_tokens(self) -> bool:
        """Whether people must log in."""
        return bool(self._tokens)

    @cached_property
    def _key(self) -> bytes:
        return self._stored().key()

    @cached_property
    def _cookies(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self._key, salt="cookie", signer_kwargs=_SIGNER)

    def role_of_token(self, given: str | None) -> Role | None:
        """What the holder of this token may do; None if it isn't one of ours."""
        digest = hashlib.sha256((given or "").encode("utf-8", "replace")).digest()
        found: Role | None = None
        for role, token in reversed(self._tokens.items()):
            if hmac.compare_digest(digest, hashlib.sha256(token).digest()):
                found = role
        return found

    def new(self, role: Role = "admin") -> str:
        """A new session's cookie, valid for `SESSION_SECONDS`."""
        return str(self._cookies.dumps([role, self._mark(role), secrets.token_urlsafe(16)]))

    def _read(
        self, cookie: str | None, max_age: int | None = SESSION_SECONDS
    ) -> tuple[Role, str, str] | None:
        """Role, mark and id of the session; None if the cookie isn't ours, or has expired."""
        try:
            role, mark, session_id = self._cookies.loads(cookie or "", max_age=max_age)
        except BadData:
            return None
        return role, mark, session_id

    def role_of(self, cookie: str | None) -> Role | None:
        """What the cookie's holder may do; None if it isn't ours, has expired, or its holder has
        logged out."""
        if not cookie or (found := self._read(cookie)) is None:
            return None
        role, mark, session_id = found
        if role not in self._tokens or not hmac.compare_digest(mark, self._mark(role)):
            return None
        return None if self._stored().is_over(session_id) else role

    def was_ours(self, cookie: str | None) -> bool:
        """Whether we issued this cookie, however long ago."""
        return self._read(cookie, max_age=None) is not None

    def id_of(self, cookie: str | None) -> str | None:
        """The id of the session, for ending it; None if the cookie isn't ours or has expired."""
        found = self._read(cookie)
        return None if found is None else found[2]

    def _mark(self, role: Role) -> str:
        """Changes with the role's token, and can't be computed without the key."""
        return hmac.new(self._key, b"token:" + self._tokens.get(role, b""), "sha256").hexdigest()[
            :32
        ]


_OF_ONE = Allowance(rate=1 / 60, burst=5)
"""Wrong tokens of an address that are recorded, and answered as such."""
_OF_ALL = Allowance(rate=1, burst=100)
"""Wrong tokens of all addresses together that are recorded."""


class TooManyWrongTokens(Exception):
    """The address has given too many wrong tokens; `seconds` is how long it has to wait."""

    def __init__(self, seconds: int):
        self.seconds = seconds
        super().__init__(f"too many wrong tokens from your address: try again in {seconds} s")


class WrongTokens:
    """Wrong tokens by address (an IPv6 address by its /64).

    The right token is always let in, or anyone could lock out all others behind the same proxy. No
    token is so short that it could be guessed at any speed.
    """

    def __init__(self) -> None:
        self._times = SharedTimes()

    def may_record(self, address: str | None) -> bool:
        """Counts a wrong token. Whether to record it: what strangers make the bridge log and write
        is bounded.

        Raises TooManyWrongTokens if the address has given too many.
        """
        now = time.monotonic()
        if seconds := take_one(self._times, _key(address), _OF_ONE, now):
            raise TooManyWrongTokens(seconds)
        return not take_one(self._times, None, _OF_ALL, now)


def _key(address: str | None) -> str:
    found = read_address(address)
    return str(subscriber_of(found)) if found is not None else address or ""
