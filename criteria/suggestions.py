"""Wording that remedies share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_COMPARED = 1000
"""Of more words than these none is suggested: it would take seconds."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean …? known are …``."""
    names = list(known)
    near = nearest(word, names)
    return (f"did you mean {near}? " if near else "") + f"known are {', '.join(names)}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, if one is."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5) if len(names) <= _COMPARED else []
    return near[0] if near else None
