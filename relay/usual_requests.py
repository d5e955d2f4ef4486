"""Requests in the form that nearly all deliveries have, read and answered without gunicorn.

gunicorn's parser and its WSGI layer would take nearly half of the relay's processor time. What is read here is a part
of what gunicorn accepts, and means the same to it; a test compares both. All else is left to gunicorn: other methods
and paths, bodies without a length, whatever could be read in two ways.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from relay.connection import Connection
from relay.route import CONDUCTORS_PATH, PATH

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_HEAD = re.compile(
    rf"POST ((?:{PATH}|{CONDUCTORS_PATH})[A-Za-z0-9._~/-]+)(?:\?([!-\"$-~]*))? HTTP/1\.1\r\n"
    r"((?:[A-Za-z0-9-]+:[\t -~\x80-\xff]*\r\n)+)\r\n"
)
"""Without what a URL may escape, folded lines, and names that WSGI can't tell apart."""
_END = b"\r\n\r\n"
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_OTHERS = frozenset({"HTTP_EXPECT", "HTTP_HTTP2_SETTINGS", "HTTP_TRAILER", "HTTP_TRANSFER_ENCODING", "HTTP_UPGRADE"})
"""Fields that say more about a request than what it is."""
LONGEST_LINE = 8190
"""Bytes of the first line. A head that has come in one piece, as is asked for here, is hardly longer."""
LONGEST_FIELD = 16380
MOST_FIELDS = 100
_SETTINGS = {
    "casefold_http_method": False,
    "http2_cleartext": "off",
    "limit_request_field_size": LONGEST_FIELD,
    "limit_request_fields": MOST_FIELDS,
    "limit_request_line": LONGEST_LINE,
    "max_requests": 0,
    "protocol": "http",
    "proxy_protocol": "off",
}
"""Those of gunicorn's settings under which a request means what it means here."""
_WITHOUT_BODY = ("204", "304")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_ENVIRONMENT = {
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
    logs = settings.accesslog, settings.logconfig, settings.logconfig_dict, settings.logconfig_json, settings.syslog
    return (
        not any(logs)
        and "SCRIPT_NAME" not in environment
        and all(settings.settings[name].get() == value for name, value in _SETTINGS.items())
    )


class UsualRequest:
    """One request."""

    headers: tuple[tuple[str, str], ...] = ()
    """None of which `Connection.finish` has to know."""

    def __init__(self, environ: dict[str, Any], keeps: bool, begin: bytes):
        """`environ`: what of its WSGI environment is in the head. `keeps`: whether the sender keeps the connection.
        `begin`: what came with the head."""
        self.environ = environ
        self.keeps = keeps
        length = int(environ["CONTENT_LENGTH"])
        self.body = _Body(begin[:length], length)
        self.next = begin[length:]
        """What came of the next request."""


class _Body:
    """Implements ``wsgi.input``, as far as the relay reads it."""

    connection: Connection

    def __init__(self, begin: bytes, length: int):
        self._here = begin
        self._left = length

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end. Raises what the connection raises."""
        size = min(size, self._left)
        while len(self._here) < size and (piece := self.connection.recv(size - len(self._here))):
            self._here += piece
        found, self._here = self._here[:size], self._here[size:]
        self._left -= len(found)
        return found


def usual(data: bytes) -> UsualRequest | None:
    """The request that begins with this data; None if gunicorn is to read it, also if the head isn't complete."""
    end = data.find(_END) + len(_END)
    if end < len(_END):
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
    if (
        len(environ) != len(lines)  # one is repeated
        or len(lines) > MOST_FIELDS
        or not _LENGTH.fullmatch(environ.get("CONTENT_LENGTH", ""))
        or connection not in ("keep-alive", "close")
        or not _OTHERS.isdisjoint(environ)
    ):
        return None
    environ["PATH_INFO"] = path
    environ["QUERY_STRING"] = query or ""
    environ["RAW_URI"] = path if query is None else f"{path}?{query}"
    return UsualRequest(environ, connection == "keep-alive", data[end:])


@lru_cache(maxsize=1024)
def _key(name: str) -> str:
    """WSGI's name of a field."""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"


def answer(
    application: WSGIApplication,
    request: UsualRequest,
    connection: Connection,
    peer: tuple[Any, ...],
    server: tuple[Any, ...],
    keep: bool,
) -> bytes:
    """The application's answer, head and body. `peer` and `server`: address and port. `keep`: whether the connection is
    kept. Raises what the application raises, or ValueError for a head that can't be sent."""
    request.body.connection = connection
    started: list[tuple[str, list[tuple[str, str]]]] = []
    environ = {
        **_ENVIRONMENT,
        **request.environ,
        "wsgi.input": request.body,
        "gunicorn.socket": connection,
        "REMOTE_ADDR": peer[0],
        "REMOTE_PORT": str(peer[1]),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
    }
    # As WSGI has it, this may be called with more, which the relay's application never does.
    pieces = application(environ, lambda status, headers: started.append((status, headers)))  # type: ignore[arg-type]
    body = b"".join(pieces)
    [(status, headers)] = started
    if status.startswith(_WITHOUT_BODY):
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


@lru_cache(maxsize=256)
def _line(name: str, value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the header {name} can't be sent")
    return f"{name}: {value}\r\n"
