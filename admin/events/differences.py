"""What differs between two payloads, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from admin.events.tree import Step, path_of
from store.records import Event

_MOST = 500
"""Differences that are listed."""
_COMPARED = 500_000
"""Fields that are compared: those of payloads of ten megabytes."""
_LONGEST_PATH = 60
"""Levels of a field that is named by its own path."""

_Pair = tuple[tuple[Step, ...], Any, Any]


@dataclass(frozen=True)
class Difference:
    """A field that isn't the same in both. `added`: only the second has it. `removed`: only the first has it."""

    kind: Literal["added", "removed", "changed"]
    path: str | None
    """None if no JSONPath that can be typed selects it; `steps` then say where it is."""
    steps: tuple[Step, ...]
    before: Any = None
    after: Any = None


@dataclass(frozen=True)
class Differences:
    """What differs, in the order of the fields."""

    found: tuple[Difference, ...]
    complete: bool
    """Whether these are all; otherwise there were too many fields, or too many differences."""


_MISSING = object()


def differences(before: Any, after: Any, most: int = _MOST) -> Differences:
    """Compares two JSON values. Elements of lists are compared by their places; 1 and 1.0 and "1" differ."""
    found: list[Difference] = []
    pairs: list[_Pair] = [((), before, after)]
    left = _COMPARED
    while pairs:
        steps, one, other = pairs.pop()
        left -= 1
        if left < 0 or len(found) >= most:
            return Differences(tuple(found), False)
        if one is _MISSING or other is _MISSING or type(one) is not type(other):
            found.append(_difference(steps, one, other))
        elif isinstance(one, (dict, list)):
            inner = _pairs(steps, one, other)
            if len(one) + len(other) > left:
                return Differences(tuple(found), False)
            pairs += reversed(list(inner))
        elif one != other:
            found.append(_difference(steps, one, other))
    return Differences(tuple(found), True)


def compared(shown: Event) -> dict[str, Any]:
    """What is compared of an event: its document without what is different in any two events."""
    document = shown.document()
    about = document["_webhook"]
    return document | {"_webhook": {"headers": about["headers"], "query": about["query"]}}


def _pairs(steps: tuple[Step, ...], one: Any, other: Any) -> Iterator[_Pair]:
    if isinstance(one, dict):
        for name in {**one, **other}:
            yield (*steps, name), one.get(name, _MISSING), other.get(name, _MISSING)
    else:
        for index in range(max(len(one), len(other))):
            yield (
                (*steps, index),
                one[index] if index < len(one) else _MISSING,
                other[index] if index < len(other) else _MISSING,
            )


def _difference(steps: tuple[Step, ...], one: Any, other: Any) -> Difference:
    path = path_of(steps) if len(steps) <= _LONGEST_PATH else None
    if one is _MISSING:
        return Difference("added", path, steps, after=other)
    if other is _MISSING:
        return Difference("removed", path, steps, before=one)
    return Difference("changed", path, steps, one, other)


def place(difference: Difference) -> str:
    """Its JSONPath, or else the names that lead to it, as JSON."""
    return difference.path or json.dumps(list(difference.steps[-3:]))
