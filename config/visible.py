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
    kept = "\n" if lines else ""
    # Long texts have few different characters.
    return text.translate({ord(one): _written(one) for one in set(text) if _is_hidden(one) and one not in kept})


def _is_hidden(character: str) -> bool:
    return not character.isprintable() and unicodedata.category(character) in _HIDDEN


def _written(character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return f"\\u{ord(character):04x}"
    return character.encode("unicode_escape").decode("ascii")
