"""Words that remedies have in common."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean …? known are …``."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return (f"did you mean {near[0]}? " if near else "") + f"known are {', '.join(names)}"
