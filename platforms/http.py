"""HTTP requests as verification sees them, and the relay's answers: plain values, no web
framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A request as its sender sent it."""

    method: str
    url: str = field(repr=False)
    """As the sender called it: some platforms sign it."""
    query: str = field(repr=False)
    """Raw, as in the URL."""
    headers: Mapping[str, str] = field(repr=False)
    """Lower-case name → value, in Latin-1 as in WSGI; a repeated header's values are joined by
    commas."""
    body: bytes = field(repr=False)
    remote: str | None
    """The sender's address."""
    now: float
    """Unix seconds."""
    by_proxy: bool = False
    """Whether it came through a proxy that we trust."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer."""

    status: int
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


EMPTY = Response(200, b"", "text/plain")
NOTHING = Response(200, b"", None)
"""Not even a content type."""


def json_response(value: Any, status: int = 200) -> Response:
    """The value as JSON."""
    return Response(status, json.dumps(value).encode("ascii"))


def text_response(text: str) -> Response:
    """Plain text, which no browser may interpret as anything else."""
    body = text.encode("utf-8", "replace")
    return Response(
        200, body, "text/plain; charset=utf-8", (("X-Content-Type-Options", "nosniff"),)
    )


def error_response(status: int, code: str, message: str, *headers: tuple[str, str]) -> Response:
    """An error in the form of all errors: ``{"error": code, "message": text}``."""
    body = json.dumps({"error": code, "message": message}).encode("ascii")
    return Response(status, body, "application/json", headers)
