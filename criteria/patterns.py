"""Patterns of definitions and JSONPaths: RE2's, which take time in proportion to the text and so can't hang."""

from __future__ import annotations

from typing import Any

import re2


class BadPattern(ValueError):
    """The text isn't an RE2 pattern; the message says why."""


class Pattern:
    """A pattern that is searched for in texts."""

    __slots__ = ("_search", "size")

    def __init__(self, text: str, max_memory: int | None = None):
        """`max_memory`: bytes that the compiled pattern may take; RE2's own limit (8 MB) by default.

        Raises BadPattern.
        """
        options = re2.Options()
        options.log_errors = False
        if max_memory is not None:
            options.max_mem = max_memory
        try:
            compiled = re2.compile(text.encode("utf-8"), options)
        except UnicodeEncodeError:
            raise BadPattern("a pattern that is not text") from None
        except re2.error as error:
            reason = error.args[0] if error.args else ""
            reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise BadPattern(f"not a pattern: {reason.replace('; ', ';')}") from None
        self._search = compiled.search
        self.size: int = compiled.programsize
        """Instructions. A search takes time proportional to their number times the length of the text, at most."""

    def found_in(self, value: Any) -> bool:
        """Whether the value is text that contains a match."""
        return isinstance(value, str) and self._search(_utf8(value)) is not None


def _utf8(text: str) -> bytes:
    """UTF-8, with the replacement character for lone surrogates, which JSON can contain."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join("�" if "\ud800" <= character <= "\udfff" else character for character in text).encode("utf-8")
