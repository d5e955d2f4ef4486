"""What a tool returns, as text: bounded, and without invisible characters."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

LONGEST = 40_000
"""Characters of a tool's output: an assistant pays for each, and a payload may have millions."""
_STEPS = ((4000, 200), (1000, 50), (200, 20), (60, 5))
"""(characters of a text, items of a list or object), from generous to tight."""
_DEEPEST = 20
_DELETE = "\x7f"
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Categories of characters that people don't see and models read: a payload may hide words in them."""


def as_text(value: Any) -> str:
    """The value as JSON of at most `LONGEST` characters. What is left out is said in its place."""
    text = _dump(value)
    for longest, most in _STEPS:
        if len(text) <= LONGEST:
            return text
        text = _dump(_cut(value, longest, most))
    return text if len(text) <= LONGEST else _dump({"leftOut": f"the answer has {len(text)} characters: ask for less"})


def _dump(value: Any) -> str:
    return visible(json.dumps(value, ensure_ascii=False, indent=1))


def visible(text: str) -> str:
    """JSON text in which what can't be seen is escaped."""
    if text.isascii() and _DELETE not in text:
        return text
    # What the encoder has left of ASCII's control characters are its own line breaks, and the one that JSON allows.
    return "".join(
        _escaped(character)
        if character == _DELETE or (not character.isascii() and unicodedata.category(character) in _UNSEEN)
        else character
        for character in text
    )


def _escaped(character: str) -> str:
    return "\\u007f" if character == _DELETE else json.dumps(character)[1:-1]


def _cut(value: Any, longest: int, most: int, depth: int = 0) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest else f"{value[:longest]}… ({len(value) - longest} more characters)"
    if not isinstance(value, (dict, list)):
        return value
    if depth > _DEEPEST:
        return "… (nested deeper)"
    if isinstance(value, list):
        kept = [_cut(item, longest, most, depth + 1) for item in value[:most]]
        return [*kept, f"… ({len(value) - most} more)"] if len(value) > most else kept
    if depth == 0:  # the answer's own fields, which are few
        most = max(most, len(value))
    found = {name[:longest]: _cut(item, longest, most, depth + 1) for name, item in list(value.items())[:most]}
    return found | {"…": f"({len(value) - most} more)"} if len(value) > most else found
