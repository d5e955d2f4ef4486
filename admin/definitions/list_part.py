"""A few items of a file's list, cut out to be changed alone: ruamel.yaml takes a second for each two hundred webhooks.

Pure. What can't be cut out, or means something else alone, is changed in the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_DASH = re.compile(r"( *)- +[^ #\r\n]")
_AFTER_LIST = re.compile(r"[^\s#-]")
"""The beginning of a line that no longer belongs to a list below a top-level key."""


@dataclass(frozen=True)
class Part:
    """Consecutive items, and the text around them."""

    above: str
    text: str
    """A document with only these items, below the same key."""
    below: str

    def put_back(self, text: str) -> str:
        """The whole text with the part as it is now."""
        _, _, items = text.partition("\n")
        return f"{self.above}{items}{self.below}"


def cut_out(text: str, key: str, starts: Sequence[int], first: int, last: int) -> Part | None:
    """The items with the numbers `first` to `last` of the list below the top-level `key`.

    `starts`: the line, from 1, at which each item of the list begins. None unless each of them and the one after them
    begins with a dash in the same column.
    """
    lines, near = _LINES.findall(text), starts[first : last + 2]
    dashes = [_DASH.match("".join(lines[line - 1 : line])) for line in near]
    if len({dash and dash[1] for dash in dashes}) != 1 or None in dashes or list(near) != sorted(set(near)):
        return None
    begin = near[0] - 1
    if last + 1 < len(starts):
        end = near[-1] - 1
    else:
        after = (number for number in range(begin, len(lines)) if _AFTER_LIST.match(lines[number]))
        end = next(after, len(lines))
    line_end = "\r\n" if lines[begin].endswith("\r\n") else "\n"
    above, inside, below = map("".join, (lines[:begin], lines[begin:end], lines[end:]))
    return Part(above, f"{key}:{line_end}{inside}", below)
