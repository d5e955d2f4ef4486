"""A text that is signed, with placeholders for parts of the request, which has only one reading.

Whoever has seen a delivery could move bytes from one part to the next where nothing keeps them
apart: what is signed would be the same, and the delivery another. So a part before the body may not
contain the text that follows it, and one after the body not the text before it. A time is the
longest that can be read at its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from platforms.http import Request
from platforms.verifiers.compare import header_bytes, required_header
from platforms.verifiers.refused import Refused

_NAME = re.compile(r"\{(body|timestamp|method|url|path|query|header:[^{}]+)\}")
_TIME = (
    rb"[0-9]{10}(?:[0-9]{3}|\.[0-9]{1,9})?|\d{4}-\d\d-\d\d[Tt"
    rb" ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)"
)
"""What `timestamps` reads as a time in any unit."""
_LONGEST_TIME = 40

Value = Callable[[Request], bytes]
"""Returns the part of the request. Raises Refused if it isn't there."""


class SignedParts:
    """The parts of a request that are signed, in their order."""

    def __init__(self, template: str):
        pieces = _NAME.split(template)  # literal, name, literal, name, …
        self._literals = [piece.encode() for piece in pieces[::2]]
        self.names = tuple(pieces[1::2])
        self.headers = frozenset(
            name[7:].lower() for name in self.names if name.startswith("header:")
        )
        """Lower-case names of the headers that are signed."""
        self.with_query = "url" in self.names or "query" in self.names
        self._values = [_value_of(name) for name in self.names]
        self._body = self.names.index("body")
        self._bounds = [
            bound for place in range(len(self.names)) if (bound := self._bound(place)) is not None
        ]
        self._is_plain = template == "{body}"

    def message(self, request: Request, time: bytes) -> bytes:
        """The bytes that are signed. Raises Refused for a request with another reading, or without
        one of the parts."""
        if self._is_plain:
            return request.body
        parts = [time if value is None else value(request) for value in self._values]
        for keeps_apart in self._bounds:
            keeps_apart(request, parts)
        joined = [self._literals[0]]
        for part, literal in zip(parts, self._literals[1:], strict=True):
            joined += (part, literal)
        return b"".join(joined)

    def _bound(self, place: int) -> Callable[[Request, list[bytes]], None] | None:
        """The check that the part ends where it seems to; None for one that can't end elsewhere."""
        name, is_first = self.names[place], place < self._body
        before, after = self._literals[place], self._literals[place + 1]
        if name == "timestamp":
            return self._time_bound(place, before, after, is_first)
        if name in ("body", "method", "path"):  # the path is the webhook's own
            return None
        bound = after if is_first else before

        def keeps_apart(request: Request, parts: list[bytes]) -> None:
            fixed, part = _choice(parts[place]) if name == "url" else (b"", parts[place])
            if not part or not (bound or request.query):
                return  # without a query the URL is the webhook's own
            if not bound:
                raise Refused(
                    "the query is directly beside the body in what is signed, so there may be none"
                )
            if is_first:
                ends_elsewhere = (part + bound).find(bound) != len(part)
            else:
                ends_elsewhere = (bound + fixed + part).rfind(bound) > len(fixed)
            if ends_elsewhere:
                raise Refused(
                    f"{{{name}}} contains what separates it from its neighbor in what is signed"
                )

        return keeps_apart

    def _time_bound(
        self, place: int, before: bytes, after: bytes, is_first: bool
    ) -> Callable[[Request, list[bytes]], None]:
        first = re.compile(rb"(%b)%b" % (_TIME, re.escape(after)))
        last = re.compile(rb"%b(%b)\Z" % (re.escape(before), _TIME))

        def is_longest(request: Request, parts: list[bytes]) -> None:
            part = parts[place]
            if is_first:
                found = first.match(part + after + self._following(parts, place))
            else:
                found = last.search(self._preceding(parts, place) + before + part)
            if found is not None and len(found[1]) > len(part):
                raise Refused("the timestamp can be read in more than one way in what is signed")

        return is_longest

    def _following(self, parts: list[bytes], place: int) -> bytes:
        """The first bytes of what is signed behind the literal that follows the part; others may be
        empty."""
        found = b""
        for part, literal in zip(parts[place + 1 :], self._literals[place + 2 :], strict=True):
            if len(found) >= _LONGEST_TIME:
                break
            found += part[:_LONGEST_TIME] + literal
        return found[:_LONGEST_TIME]

    def _preceding(self, parts: list[bytes], place: int) -> bytes:
        """The last bytes of what is signed before the literal in front of the part."""
        found = b""
        for part, literal in zip(
            reversed(parts[:place]), reversed(self._literals[:place]), strict=True
        ):
            if len(found) >= _LONGEST_TIME:
                break
            found = literal + part[-_LONGEST_TIME:] + found
        return found[-_LONGEST_TIME:]


def _choice(url: bytes) -> tuple[bytes, bytes]:
    """What is the same in all URLs of the webhook, and what the sender chooses: the query, with its
    question mark."""
    fixed, mark, query = url.partition(b"?")
    return fixed, mark + query


def _value_of(name: str) -> Value | None:
    """None for the time."""
    if name.startswith("header:"):
        header = name[7:].lower()
        return lambda request: header_bytes(required_header(request, header))
    return _VALUES[name]


_VALUES: Mapping[str, Value | None] = {
    "body": lambda request: request.body,
    "method": lambda request: request.method.encode(),
    "url": lambda request: header_bytes(request.url),
    "path": lambda request: header_bytes(urlsplit(request.url).path),
    "query": lambda request: header_bytes(request.query),
    "timestamp": None,
}
