"""Rates as people write them: ``50/s``, ``300/m``, ``1000/h``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*([smh])")
_HIGHEST = 100_000.0
"""Calls a second: more than any Conductor can handle."""


def parse_rate(text: object) -> float:
    """Times a second of a rate such as ``50/s``, ``300/m`` or ``1000/h``.

    Raises ValueError for anything else, and for 0, which would mean never.
    """
    match = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a rate; write a number of times in a second, minute or hour, such as 50/s")
    rate = float(match[1]) / _SECONDS[match[2]]
    if rate == 0:
        raise ValueError("never; write a rate above 0, or pause the webhook: webhook-bridge pause NAME")
    if rate > _HIGHEST:
        raise ValueError("more than any Conductor can handle; write a lower rate, such as 50/s, or leave it out")
    return rate


def format_rate(rate: float) -> str:
    """The text that `parse_rate` reads as this rate: 5.0 → ``5/s``, 0.5 → ``30/m``."""
    for unit, seconds in _SECONDS.items():
        times = round(rate * seconds, 6)
        if times >= 1 and times == int(times):
            return f"{int(times)}/{unit}"
    return f"{rate * 3600:.6g}/h"


Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    PlainSerializer(format_rate),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*/\s*[smh]$", "examples": ["50/s", "300/m"]}),
]
"""Times a second, written as ``50/s``."""
