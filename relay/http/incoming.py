"""What the receiver needs of a request, whatever server it came through."""

from __future__ import annotations

from typing import Protocol

from platforms.http import Request
from relay.route import Route


class BodyTooLarge(Exception):
    """The body is larger than the webhook accepts."""


class BodyUnreadable(Exception):
    """The body broke off, was malformed, or took too long."""


class Incoming(Protocol):
    """A request whose body has not been read yet."""

    method: str
    remote: str | None
    sender: str | None
    """The same, unless it is the address of an unconfigured proxy."""
    path: str
    """Which of the relay's two paths was used."""

    @property
    def query(self) -> str:
        """Raw, as in the URL."""

    @property
    def wants_page(self) -> bool:
        """Whether a person's browser asks."""

    def seen_url(self) -> str:
        """The URL as it was called, without the query."""

    def read(self, max_body: int) -> bytes:
        """The body. Raises BodyTooLarge, BodyUnreadable or Overloaded."""

    def request(self, route: Route, body: bytes) -> Request:
        """All of it."""
