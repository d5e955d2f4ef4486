"""An event's summary: a platform declares where its type and the values are that say what
happened."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Value:
    """A value that is shown. Only text and numbers are shown; anything else counts as missing."""

    path: str
    """A JSONPath of members and indexes, such as ``$.repository.full_name``. In an array, a path
    into each element."""
    before: str = ""
    """Text that is put before the value, such as ``#``."""
    without: str = ""
    """A beginning that is left out, such as ``refs/heads/``."""
    word: str | None = None
    """Shown instead of the value, which may then be anything but null: that it is there says what
    it is."""


SummaryPart = str | Value
"""A `Value`, or just its path."""
