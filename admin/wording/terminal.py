"""Tables and text for a terminal, safe whatever they contain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from config.logs import visible


def plain(text: object, lines: bool = False) -> str:
    """The text with characters that a terminal acts on or hides made visible (`config.logs`)."""
    return visible(str(text), lines)


def pretty(value: Any, most: int | None = None) -> str:
    """JSON on several lines, safe for a terminal. With `most` no more is made than its first so
    many characters, and one that shows that there are more."""
    pieces: list[str] = []
    length = 0
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
        pieces.append(piece)
        length += len(piece)
        if most is not None and length > most:
            return plain("".join(pieces)[: most + 1], lines=True)
    return plain("".join(pieces), lines=True)


def compact(value: Any, length: int = 120) -> str:
    """JSON on one line, cut to a length."""
    return cut(plain(json.dumps(value, ensure_ascii=False)), length)


def cut(text: str, length: int) -> str:
    """The text, or its beginning and a sign that there is more."""
    return text if len(text) <= length else text[: length - 1] + "…"


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns under headings; an empty cell is a dash."""
    cells = [list(headings)] + [
        ["-" if cell in (None, "") else plain(cell) for cell in row] for row in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
