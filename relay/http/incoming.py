"""A request as the receiver sees it: read from WSGI, its body only when it is asked for."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.datastructures import EnvironHeaders

from platforms.http import Request
from relay.http.bodies import Bodies, BodyTooLarge, BodyUnreadable
from relay.http.forwarded import BY_PROXY
from relay.route import PATH, Route, with_query
from store.rules.senders import LONGEST_ADDRESS

_HOST = re.compile(r"[A-Za-z0-9._~%:\[\]-]*", re.ASCII)
_BEFORE_PATH = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_AFTER_PATH = re.compile(r"[?#].*\Z", re.DOTALL)
"""What a request may have around the path. It decides nothing about which webhook is called, so a
signature that covers the URL or path must not take it for a part of them."""
_OF_PROXIES = frozenset({"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"})


IS_READ = "bridge.is_read"
"""The key in a WSGI environment that says that the body has been read to its end."""


class Incoming:
    """A request whose body has not been read yet."""

    def __init__(
        self, environ: dict[str, Any], bodies: Bodies, knows_proxies: bool = False, path: str = PATH
    ):
        """`environ`: WSGI's. `knows_proxies`: only our own proxies' X-Forwarded-For is trusted, so
        the address is the sender's. `path`: which of the relay's two paths was used."""
        self._environ = environ
        self._bodies = bodies
        self.path = path
        self.method: str = environ["REQUEST_METHOD"]
        self.query: str = environ.get("QUERY_STRING", "")
        """Raw, as in the URL."""
        remote: str = environ.get("REMOTE_ADDR", "")
        # How a listener on IPv6 sees an IPv4 address.
        self.remote = (remote.removeprefix("::ffff:") if "." in remote else remote) or None
        self.sender = self.remote if knows_proxies or _OF_PROXIES.isdisjoint(environ) else None
        """The same, unless it is the address of an unconfigured proxy."""
        self.wants_page = "text/html" in environ.get("HTTP_ACCEPT", "")
        """Whether a person's browser asks."""
        self.arrived_at = 0.0
        """When the body's last byte came (monotonic clock)."""

    @property
    def recorded_remote(self) -> str | None:
        """The address as it is recorded: a proxy may report any text."""
        return self.remote and self.remote[:LONGEST_ADDRESS]

    @contextmanager
    def read(self, route: Route) -> Iterator[Request]:
        """The request in the form that verification expects; its body is held until the block ends.
        Raises BodyTooLarge, BodyUnreadable or Overloaded."""
        environ, max_body = self._environ, route.max_body
        length = environ.get("CONTENT_LENGTH")
        expected = 0
        if length:
            if not (length.isascii() and length.isdigit()):
                raise BodyUnreadable
            expected = int(length[:20])
        elif environ.get("wsgi.input_terminated"):
            expected = max_body + 1  # chunked: one byte more tells that it is too large
        if length and expected > max_body:
            raise BodyTooLarge(max_body)
        with self._bodies.read(environ["wsgi.input"], expected, route.turn, not length) as (
            body,
            self.arrived_at,
        ):
            if len(body) > max_body:
                raise BodyTooLarge(max_body)
            if length and len(body) != expected:
                raise BodyUnreadable
            environ[IS_READ] = True
            yield self._request(route, body)

    def _request(self, route: Route, body: bytes) -> Request:
        url = with_query(route.public_url(self.path) or self.seen_url(), self.query)
        by_proxy = self._environ.get(BY_PROXY, False)
        headers = {name.lower(): value for name, value in EnvironHeaders(self._environ)}
        return Request(
            self.method, url, self.query, headers, body, self.remote, time.time(), by_proxy
        )

    def seen_url(self) -> str:
        """The URL as it was called, without the query."""
        environ = self._environ
        host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
        if not _HOST.fullmatch(host):  # no part of the path, for signatures that cover the URL
            host = "invalid"
        called = (
            environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
        )
        path = _BEFORE_PATH.sub("", _AFTER_PATH.sub("", called))
        return f"{environ.get('wsgi.url_scheme', 'http')}://{host}{environ.get('SCRIPT_NAME', '')}{path}"
