"""Deliveries in the form that nearly all have, read and answered without gunicorn's parser and WSGI layer.

These would take 40 % of the relay's processor time. What is read here is a part of what gunicorn accepts, and means the
same to it, which a test compares. Everything else is left to gunicorn: other methods and paths, requests that arrive in
pieces, and whatever might be read in two ways.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from relay.http.connection import Connection
from relay.route import CONDUCTORS_PATH, PATH

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LONGEST_LINE = 8190
"""Bytes; gunicorn's limits are set to these."""
LONGEST_FIELD = 16380
MOST_FIELDS = 100
_HEAD = re.compile(
    rf"POST ((?:{PATH}|{CONDUCTORS_PATH})[A-Za-z0-9._~/-]+)(?:\?([!-\"$-~]*))? HTTP/1\.1\r\n"
    r"((?:[A-Za-z0-9-]{1,100}:[\t -~\x80-\xff]*\r\n)+)\r\n"
)
"""Without what a URL may escape, folded lines, names that WSGI can't tell apart, and longer ones than any in use, which
would be remembered (`_key`)."""
_LINE_END = b"\r\n"
_END = b"\r\n\r\n"
_LENGTH = re.compile(r"[0-9]{1,6}", re.ASCII)
_LEFT = frozenset({"HTTP_EXPECT", "HTTP_HTTP2_SETTINGS", "HTTP_TRAILER", "HTTP_TRANSFER_ENCODING", "HTTP_UPGRADE"})
"""Headers that are left to gunicorn: they change how a request is read or answered."""
_LIMITS = {
    "limit_request_field_size": LONGEST_FIELD,
    "limit_request_fields": MOST_FIELDS,
    "limit_request_line": LONGEST_LINE,
    "secure_scheme_headers": {},
}
_DEFAULTS = (
    "accesslog",
    "casefold_http_method",
    "http2_cleartext",
    "logconfig",
    "logconfig_dict",
    "logconfig_json",
    "max_requests",
    "post_request",
    "pre_request",
    "protocol",
    "proxy_protocol",
    "statsd_host",
    "syslog",
)
"""Settings of gunicorn. Under other values than these it would do more with a request, or read it otherwise."""
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_ENVIRON = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.input_terminated": True,
    "wsgi.multiprocess": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.url_scheme": "http",
    "wsgi.version": (1, 0),
}


def are_read_under(settings: Any, environment: Iterable[str]) -> bool:
    """Whether usual requests may be read here under these settings of gunicorn (its `Config`) and these variables."""
    return (
        bool(settings.keepalive)
        and settings.loglevel.lower() != "debug"  # at which gunicorn logs each request
        and "SCRIPT_NAME" not in environment
        and all(settings.settings[name].get() == value for name, value in _LIMITS.items())
        and all(settings.settings[name].get() == settings.settings[name].default for name in _DEFAULTS)
    )


class _Body:
    """A request's body, which holds nothing of what has been read: its sender may have to wait long for the answer."""

    def __init__(self, content: bytes):
        self._left = content

    def read(self, size: int) -> bytes:
        """The next bytes, `size` at most."""
        piece, self._left = self._left[:size], self._left[size:]
        return piece


class UsualRequest:
    """One request, all of which has arrived."""

    headers: tuple[tuple[str, str], ...] = ()
    """Implements gunicorn's requests, as far as `Connection.finish` uses them; so does `body`."""

    def __init__(self, environ: dict[str, Any], body: bytes, keeps: bool, rest: bytes):
        """`environ`: WSGI's, but for the body. `keeps`: whether the sender keeps the connection open. `rest`: what
        arrived after the request."""
        self.environ = environ
        self.body = environ["wsgi.input"] = _Body(body)
        self.keeps = keeps
        self.rest = rest


def usual(data: bytes, peer: tuple[Any, ...], server: tuple[Any, ...]) -> UsualRequest | None:
    """The request that the data begins with; None if it is left to gunicorn. `peer` and `server`: address and port."""
    end = data.find(_END) + len(_END)
    if not len(_END) <= end <= LONGEST_FIELD or data.find(_LINE_END) > LONGEST_LINE:
        return None
    match = _HEAD.fullmatch(data[:end].decode("latin-1"))
    if match is None:
        return None
    path, query, fields = match.groups()
    environ: dict[str, Any] = {}
    lines = fields.split("\r\n")[:-1]
    for line in lines:
        name, _, value = line.partition(":")
        environ[_key(name)] = value.strip("\t ")
    connection = environ.get("HTTP_CONNECTION", "keep-alive").lower()
    length = environ.get("CONTENT_LENGTH", "")
    if (
        len(environ) != len(lines)  # a header is repeated
        or len(lines) > MOST_FIELDS
        or connection not in ("keep-alive", "close")
        or not _LEFT.isdisjoint(environ)
        or not _LENGTH.fullmatch(length)
    ):
        return None
    body_end = end + int(length)
    if body_end > len(data):
        return None
    environ |= _ENVIRON
    environ["PATH_INFO"] = path
    environ["QUERY_STRING"] = query or ""
    environ["RAW_URI"] = path if query is None else f"{path}?{query}"
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer[0], str(peer[1])
    environ["SERVER_NAME"], environ["SERVER_PORT"] = server[0], str(server[1])
    return UsualRequest(environ, data[end:body_end], connection == "keep-alive", data[body_end:])


@lru_cache(maxsize=1024)
def _key(name: str) -> str:
    """WSGI's name of a header."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"


def answer(application: WSGIApplication, request: UsualRequest, connection: Connection, keep: bool) -> bytes:
    """The application's answer, head and body. `keep`: whether the connection stays open.

    Raises what the application raises, or ValueError for a header that can't be sent.
    """
    request.environ["gunicorn.socket"] = connection
    started: list[tuple[str, list[tuple[str, str]]]] = []
    # As WSGI has it, this may be called with more, which the relay's application never does.
    pieces = application(request.environ, lambda status, headers: started.append((status, headers)))  # type: ignore[arg-type]
    body = b"".join(pieces)
    [(status, headers)] = started
    if status.startswith(("204", "304")):
        body, headers = b"", [field for field in headers if field[0] != "Content-Length"]
    elif not any(name == "Content-Length" for name, _ in headers):
        headers = [*headers, ("Content-Length", str(len(body)))]
    head = _first_lines(status, keep, int(time.time())) + "".join([_line(*field) for field in headers])
    return f"{head}\r\n".encode("latin-1") + body


@lru_cache(maxsize=64)
def _first_lines(status: str, keep: bool, now: int) -> str:
    connection = "keep-alive" if keep else "close"
    return (
        f"HTTP/1.1 {status}\r\nServer: gunicorn\r\nDate: {formatdate(now, usegmt=True)}\r\nConnection: {connection}\r\n"
    )


def _line(name: str, value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the header {name} can't be sent")
    return f"{name}: {value}\r\n"
