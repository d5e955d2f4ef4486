"""Criteria and conditions in words, next to what an event holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from criteria.equality import shortest_text
from criteria.matches import Criterion
from criteria.operators import ORDERING, is_operators

_SHOWN = 200
"""Characters of a value in a sentence."""
_LISTED = 5
"""Values in a sentence."""
_ROOM = 1000
"""Characters of all values found at a path."""


def shown(value: Any) -> str:
    """The value as JSON, cut where it gets long. It takes no longer than its beginning does."""
    text = ""
    for part in _parts(value):
        text += part
        if len(text) > _SHOWN:
            return f"{text[:_SHOWN]}… ({_size(value)})"
    return text


def _parts(value: Any) -> Iterator[str]:
    """The value's JSON, of each text the beginning."""
    if isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield f"{', ' if number else ''}{_text(str(key)[:_SHOWN])}: "
            yield from _parts(item)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            yield ", " if number else ""
            yield from _parts(item)
        yield "]"
    else:
        yield _text(value[:_SHOWN] if isinstance(value, str) else value)


_text = partial(json.dumps, ensure_ascii=False)


def _size(value: Any) -> str:
    if isinstance(value, dict):
        return f"{len(value)} members"
    return f"{len(value)} elements" if isinstance(value, list) else f"{len(str(value))} characters"


def excerpt(found: Sequence[Any]) -> tuple[list[Any], str | None]:
    """As many of the values found at a path as people read, long ones as `shown`; and what is left
    out, if something is."""
    listed: list[Any] = []
    cut, room = 0, _ROOM
    for value in found:
        text = shown(value)
        room -= len(text)
        if room < 0:
            break
        is_long = len(text) > _SHOWN
        listed.append(text if is_long else value)
        cut += is_long
    left_out = [f"the rest of {cut} of these"] if cut else []
    if len(listed) < len(found):
        left_out.append(f"{len(found) - len(listed)} more")
    return listed, ", and ".join(left_out) or None


def describe_criterion(criterion: Criterion) -> str:
    """``$.action is "closed", expected is "opened"``, or ``$.size is 3, expected is $gt 10``."""
    path = criterion.path
    if criterion.hidden:
        if not criterion.found:
            return f"nothing at {path}, where what is expected is hidden"
        holds = "holds" if criterion.holds else "doesn't hold"
        return f"{path} is hidden, and {holds}"
    if criterion.expected is None and criterion.operator is None:
        return f"{path}: null is expected, and that never holds (a ${{…}} without a value is null)"
    expected = shown(criterion.expected)
    if criterion.operator is not None:
        expected = f"{criterion.operator} {expected}"
    if not criterion.found:
        why = f" ({criterion.missing})" if criterion.missing and not criterion.holds else ""
        return f"nothing at {path}, expected is {expected}{why}"
    found = criterion.found[:_LISTED]
    values = " and ".join(map(shown, found))
    if len(criterion.found) > _LISTED:
        values += f" and {len(criterion.found) - _LISTED} more"
    return f"{path} is {values}, expected is {expected}{_hint(criterion, found)}"


def _hint(criterion: Criterion, found: Sequence[Any]) -> str:
    """What somebody may not know who expected these values to meet the criterion."""
    expected, fails = criterion.expected, not criterion.holds
    if fails and all(_nearly(expected, value) for value in found):
        return " (they differ in case or spaces, which count)"
    if criterion.operator in ORDERING and not any(_alike(expected, value) for value in found):
        return " (only numbers are ordered with numbers, and texts with texts)"
    if fails and any(_spelled_otherwise(expected, value) for value in found):
        return " (a number or boolean equals a text only in its shortest form, such as 1.5 or true)"
    if criterion.operator is None and is_operators(expected):
        return " (each holds for a value, but all of them for no single one)"
    return ""


def _alike(one: Any, other: Any) -> bool:
    return isinstance(one, str) == isinstance(other, str) and isinstance(other, (str, int, float))


def _spelled_otherwise(one: Any, other: Any) -> bool:
    """Whether one is a number or boolean, and the other a text that means the same."""
    scalar, text = (one, other) if isinstance(other, str) else (other, one)
    if (
        not isinstance(scalar, (bool, int, float))
        or not isinstance(text, str)
        or len(text) > _SHOWN
    ):
        return False
    if isinstance(scalar, bool):
        return text.strip().lower() == shortest_text(scalar)
    try:
        return float(text) == scalar
    except (ValueError, OverflowError):
        return False


def _nearly(one: Any, other: Any) -> bool:
    if not isinstance(one, str) or not isinstance(other, str) or len(other) > _ROOM:
        return False
    return one.strip().lower() == other.strip().lower()
