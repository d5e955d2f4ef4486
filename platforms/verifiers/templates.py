"""What is signed, as text that contains ``{body}``, ``{timestamp}``, ``{url}``, ``{method}`` or
``{id}``."""

from __future__ import annotations

import re
from collections.abc import Callable

from platforms.verifiers.protocol import Part

Parts = dict[str, bytes]
Render = Callable[[Parts], bytes]

_NAME = re.compile(r"\{(\w+)\}")
_PARTS: dict[str, Part] = {
    "body": "body",
    "timestamp": "time",
    "url": "url",
    "method": "method",
    "id": "id",
}


def names_in(template: str) -> frozenset[str]:
    """The names that the template needs. Raises ValueError for one that is no part of a request."""
    found = frozenset(_NAME.findall(template))
    for name in found - _PARTS.keys():
        raise ValueError(f"{{{name}}} is none of {', '.join(_PARTS)}")
    return found


def parts_of(template: str) -> frozenset[Part]:
    """The parts of a request that it signs."""
    return frozenset(_PARTS[name] for name in names_in(template))


def compile_template(template: str) -> Render:
    """A function from the named parts to the bytes that are signed."""
    if template == "{body}":
        return lambda parts: parts["body"]
    pieces = _NAME.split(template)  # literal, name, literal, name, …
    literals = [piece.encode() for piece in pieces[::2]]
    names = pieces[1::2]

    def render(parts: Parts) -> bytes:
        joined = [literals[0]]
        for name, literal in zip(names, literals[1:], strict=True):
            joined += (parts[name], literal)
        return b"".join(joined)

    return render
