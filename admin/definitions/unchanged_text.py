"""Keeps what a change doesn't touch as it was written, whatever the YAML writer makes of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher

_WORDS = re.compile(r"\n *|[^\S\n]+|\w+|.")
_MOST_WORDS = 3000
"""Lines that are compared word by word, at most: the time grows faster than their number."""
_Conflict = Callable[[Sequence[str], Sequence[str], Sequence[str]], Sequence[str]]


def by_lines(text: str, rewritten: str, changed: str) -> str:
    """The text with what differs between `rewritten` and `changed`.

    `rewritten`: the text as the writer writes it without any change. Where a change touches lines that the writer
    writes in another way, they are the writer's.
    """
    return "".join(_merged(_lines(text), _lines(rewritten), _lines(changed), _theirs))


def by_words(text: str, rewritten: str, changed: str) -> str:
    """The same for words, spaces and signs instead of whole lines."""
    return "".join(_merged(_lines(text), _lines(rewritten), _lines(changed), _word_by_word))


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _theirs(ours: Sequence[str], base: Sequence[str], theirs: Sequence[str]) -> Sequence[str]:
    return theirs


def _word_by_word(ours: Sequence[str], base: Sequence[str], theirs: Sequence[str]) -> Sequence[str]:
    words = [_WORDS.findall("".join(lines)) for lines in (ours, base, theirs)]
    return theirs if max(map(len, words)) > _MOST_WORDS else _merged(words[0], words[1], words[2], _theirs)


def _merged(ours: Sequence[str], base: Sequence[str], theirs: Sequence[str], conflict: _Conflict) -> list[str]:
    found: list[str] = []
    at_ours = at_base = at_theirs = 0
    for start_ours, start_base, start_theirs, size in _in_all(ours, base, theirs):
        parts = ours[at_ours:start_ours], base[at_base:start_base], theirs[at_theirs:start_theirs]
        if parts[1] == parts[2]:
            found += parts[0]
        else:
            found += parts[2] if parts[0] == parts[1] else conflict(*parts)
        found += base[start_base : start_base + size]
        at_ours, at_base, at_theirs = start_ours + size, start_base + size, start_theirs + size
    return found


def _in_all(ours: Sequence[str], base: Sequence[str], theirs: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Runs that are the same in all three: the index in each, and the length. The last run is empty, at the end."""
    in_ours, in_theirs = (
        SequenceMatcher(None, base, other, autojunk=False).get_matching_blocks() for other in (ours, theirs)
    )
    one = other = 0
    while one < len(in_ours) and other < len(in_theirs):
        a, b = in_ours[one], in_theirs[other]
        start, end = max(a.a, b.a), min(a.a + a.size, b.a + b.size)
        if start < end:
            yield a.b + start - a.a, start, b.b + start - b.a, end - start
        if a.a + a.size < b.a + b.size:
            one += 1
        else:
            other += 1
    yield len(ours), len(base), len(theirs), 0
