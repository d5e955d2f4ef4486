"""Durations, sizes and rates as people write them: ``10m``, ``1h30m``, ``25MB``, ``50/s``; and
numbers of things."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 36_525 * 86_400
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LARGEST = 2**50
"""Bytes."""
_BYTES = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?B)?", re.IGNORECASE)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*([smh])")
_HIGHEST = 100_000.0
"""Calls a second: more than any Conductor can handle."""


def counted(number: int, what: str) -> str:
    """The number of things with their name, such as ``1 event`` or ``3 events``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def parse_duration(text: object) -> float:
    """Seconds of a duration such as ``10m``, ``1h30m``, ``250ms`` or ``0s``.

    Raises ValueError for anything else, a bare number included: ``10`` could mean minutes or
    seconds.
    """
    if text == 0 and not isinstance(text, bool):
        return 0.0
    if not isinstance(text, str) or not _DURATION.fullmatch(text.strip()):
        raise ValueError(
            f"{text!r} is not a duration; write a number with its unit, such as 30s, 10m, 2h or 7d"
        )
    seconds = float(
        sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    )
    if seconds > _LONGEST:
        raise ValueError("longer than a hundred years; write a shorter duration, such as 365d")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as these seconds: 600 → ``10m``."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds:g}s"


def ago(milliseconds: int) -> str:
    """A time span as people say it: ``45 s``, ``12 min``, ``3 h``, ``2 d``."""
    seconds = max(0, milliseconds) // 1000
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length or (seconds >= length and unit == "min"):
            return f"{seconds // length} {unit}"
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min"


def parse_size(text: object) -> int:
    """Bytes of a size such as ``25MB``, ``512KB`` or a plain number of bytes; KB is 1024 bytes."""
    if isinstance(text, int) and not isinstance(text, bool) and text > 0:
        return text
    match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    size = float(match[1]) * _BYTES[(match[2] or "").upper()] if match else 0
    if size < 1:
        raise ValueError(
            f"{text!r} is not a size; write a number of bytes or one with a unit, such as 512KB or"
            " 25MB"
        )
    if size > _LARGEST:
        raise ValueError("more than any machine holds; write a smaller size, such as 25MB")
    return int(size)


def parse_rate(text: object) -> float:
    """Times a second of a rate such as ``50/s``, ``300/m`` or ``1000/h``.

    Raises ValueError for anything else, and for 0, which would mean never.
    """
    match = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"{text!r} is not a rate; write a number of times in a second, minute or hour, such as"
            " 50/s"
        )
    rate = float(match[1]) / _SECONDS[match[2]]
    if rate == 0:
        raise ValueError(
            "never; write a rate above 0, or pause the webhook: webhook-bridge pause NAME"
        )
    if rate > _HIGHEST:
        raise ValueError(
            "more than any Conductor can handle; write a lower rate, such as 50/s, or leave it out"
        )
    return rate


def format_rate(rate: float) -> str:
    """The text that `parse_rate` reads as this rate: 5.0 → ``5/s``, 0.5 → ``30/m``."""
    for unit in ("s", "m", "h"):
        times = round(rate * _SECONDS[unit], 6)
        if times >= 1 and times == int(times):
            return f"{int(times)}/{unit}"
    return f"{rate * 3600:.6g}/h"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["10m", "30s", "7d"]}
    ),
]
"""Seconds, written as ``10m``."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "examples": ["25MB", "512KB"]},
            ]
        }
    ),
]
"""Bytes, written as ``25MB``."""

Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    PlainSerializer(format_rate),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*/\s*[smh]$", "examples": ["50/s", "300/m"]}
    ),
]
"""Times a second, written as ``50/s``."""
