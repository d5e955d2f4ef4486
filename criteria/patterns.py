"""Patterns of `$regex`, and of ``=~`` in JSONPaths: RE2's, which take time in proportion to the
text."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2


class BadPattern(ValueError):
    """The text isn't an RE2 pattern; the message says why."""


class Pattern:
    """A pattern that is searched for in texts."""

    __slots__ = ("_search", "size")

    def __init__(self, text: str):
        """Raises BadPattern."""
        options = re2.Options()
        options.log_errors = False
        try:
            compiled = re2.compile(text.encode(), options)
        except UnicodeEncodeError:
            raise BadPattern("a pattern that is not text") from None
        except re2.error as error:
            reason = error.args[0].decode("utf-8", "replace").replace("; ", ";")
            raise BadPattern(f"not a pattern: {reason}") from None
        self._search = compiled.search
        self.size: int = compiled.programsize
        """Instructions. At most, a search takes time in proportion to their number times the length
        of the text."""

    def is_in(self, value: Any) -> bool:
        """Whether the value is text in which the pattern is found."""
        return isinstance(value, str) and self._search(value.encode(errors="replace")) is not None


pattern_of = lru_cache(maxsize=4096)(Pattern)
"""The pattern of that text. Raises BadPattern."""
