"""Text for people to see, safe whatever it contains."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str, lines: bool = False) -> str:
    """The text with characters that a terminal acts on or hides written as ``\\x1b`` or ``\\u202e``.

    Line breaks are kept with `lines`.
    """
    if text.isprintable():
        return text
    return "".join(
        character
        if unicodedata.category(character) not in _HIDDEN or (lines and character == "\n")
        else character.encode("unicode_escape").decode("ascii")
        if not "\ud800" <= character <= "\udfff"
        else f"\\u{ord(character):04x}"
        for character in text
    )
