"""Wording that remedies share."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable

_COMPARED = 50
"""Words that are compared in full: of ten thousand, difflib alone would take seconds."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean …? known are …``."""
    names = list(known)
    near = nearest(word, names)
    return (f"did you mean {near}? " if near else "") + f"known are {', '.join(names)}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, if one is."""
    pairs = {word[place : place + 2] for place in range(len(word) - 1)}

    def in_common(name: str) -> float:
        return sum(pair in name for pair in pairs) / (len(word) + len(name))

    likely = heapq.nlargest(_COMPARED, known, key=in_common)
    return next(iter(difflib.get_close_matches(word, likely, n=1, cutoff=0.5)), None)
