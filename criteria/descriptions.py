"""Criteria and conditions in words, next to what an event holds."""

from __future__ import annotations

import json
from typing import Any

from criteria.equality import shortest_text
from criteria.matches import Criterion
from criteria.operators import ORDERING, is_operators

_SHOWN = 200
"""Characters of a value in a sentence."""


def shown(value: Any) -> str:
    """The value as JSON, cut where it gets long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def describe_criterion(criterion: Criterion) -> str:
    """``$.action is "closed", expected is "opened"``, or ``$.size is 3, expected is $gt 10``."""
    if criterion.hidden:
        if not criterion.found:
            return f"nothing at {criterion.path}, where what is expected is hidden"
        return f"{criterion.path} is hidden, and " + ("holds" if criterion.holds else "doesn't hold")
    if criterion.expected is None and criterion.operator is None:
        return f"{criterion.path}: null is expected, and that never holds (a ${{…}} without a value is null)"
    expected = f"{criterion.operator} " if criterion.operator else ""
    expected += shown(criterion.expected)
    if not criterion.found:
        why = f" ({criterion.missing})" if criterion.missing and not criterion.holds else ""
        return f"nothing at {criterion.path}, expected is {expected}{why}"
    values = " and ".join(shown(value) for value in criterion.found[:5])
    more = f" and {len(criterion.found) - 5} more" if len(criterion.found) > 5 else ""
    hint = ""
    if not criterion.holds and all(_nearly(criterion.expected, value) for value in criterion.found):
        hint = " (they differ in case or spaces, which count)"
    elif criterion.operator in ORDERING and not any(_alike(criterion.expected, value) for value in criterion.found):
        hint = " (only numbers are ordered with numbers, and texts with texts)"
    elif not criterion.holds and any(_spelled_otherwise(criterion.expected, value) for value in criterion.found):
        hint = " (a number or boolean equals a text only in its shortest form, such as 1.5 or true)"
    elif criterion.operator is None and is_operators(criterion.expected):
        hint = " (each holds for a value, but all of them for no single one)"
    return f"{criterion.path} is {values}{more}, expected is {expected}{hint}"


def _alike(one: Any, other: Any) -> bool:
    return isinstance(one, str) == isinstance(other, str) and isinstance(other, (str, int, float))


def _spelled_otherwise(one: Any, other: Any) -> bool:
    """Whether one is a number or boolean, and the other a text that means the same."""
    scalar, text = (one, other) if isinstance(other, str) else (other, one)
    if not isinstance(scalar, (bool, int, float)) or not isinstance(text, str) or len(text) > _SHOWN:
        return False
    if isinstance(scalar, bool):
        return text.strip().lower() == shortest_text(scalar)
    try:
        return float(text) == scalar
    except (ValueError, OverflowError):
        return False


def _nearly(one: Any, other: Any) -> bool:
    return isinstance(one, str) and isinstance(other, str) and one.strip().lower() == other.strip().lower()
