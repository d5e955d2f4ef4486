"""What differs between two payloads, field by field."""

from __future__ import annotations

import json
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

Kind = Literal["added", "removed", "changed"]
_Pair = tuple[tuple[Step, ...], Any, Any]


@dataclass(frozen=True)
class Difference:
    """A field that isn't the same in both. `added`: only the second has it. `removed`: only the first has it."""

    kind: Kind
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
        if isinstance(one, (dict, list)) and type(one) is type(other):
            if len(one) + len(other) > left:
                return Differences(tuple(found), False)
            before_fields, after_fields = _fields(one), _fields(other)
            names = reversed({**before_fields, **after_fields})
            pairs += (
                ((*steps, name), before_fields.get(name, _MISSING), after_fields.get(name, _MISSING)) for name in names
            )
        elif type(one) is not type(other) or one != other:
            path = path_of(steps) if len(steps) <= _LONGEST_PATH else None
            kind: Kind = "added" if one is _MISSING else "removed" if other is _MISSING else "changed"
            before, after = (None if value is _MISSING else value for value in (one, other))
            found.append(Difference(kind, path, steps, before, after))
    return Differences(tuple(found), True)


def compared(shown: Event) -> dict[str, Any]:
    """What is compared of an event: its document without what is different in any two events."""
    document = shown.document()
    about = document["_webhook"]
    return document | {"_webhook": {"headers": about["headers"], "query": about["query"]}}


def _fields(value: dict[Step, Any] | list[Any]) -> dict[Step, Any]:
    return value if isinstance(value, dict) else dict(enumerate(value))


def place(difference: Difference) -> str:
    """Its JSONPath, or else the names that lead to it, as JSON."""
    return difference.path or json.dumps(list(difference.steps[-3:]))
