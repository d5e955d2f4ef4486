"""A payload as a tree of fields, each with the JSONPath that selects it: as much of it as a person
can look at."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from config.quantities import counted
from criteria.jsonpath import MAX_LENGTH, plain_steps
from store.records import Event

MOST = 1000
"""Fields of one payload that are shown."""
_MOST_OF_ONE = 100
"""Fields of one object, or elements of one list, that are shown."""
_DEEPEST = 30
"""Levels that are shown."""

Step = str | int


@dataclass
class Field:
    """A field of an object, or an element of a list."""

    name: Step | None
    """None: the payload itself."""
    path: str | None
    """None if no JSONPath that can be typed selects it."""
    value: Any
    fields: list[Field] = field(default_factory=list)
    """Its own fields that are shown."""
    left_out: int = 0
    """How many of its own fields are not shown."""

    @property
    def has_fields(self) -> bool:
        """Whether it is an object or a list."""
        return isinstance(self.value, (dict, list))

    @property
    def size(self) -> str:
        """``3 fields``, ``1 element``."""
        return counted(len(self.value), "field" if isinstance(self.value, dict) else "element")


def tree_of(document: Any, most: int = MOST) -> Field:
    """The document, level by level, until `most` fields are shown."""
    root = Field(None, "$", document)
    waiting: deque[tuple[Field, tuple[Step, ...]]] = deque([(root, ())])
    room = most
    while waiting:
        parent, steps = waiting.popleft()
        if not parent.has_fields:
            continue
        shown = min(len(parent.value), _MOST_OF_ONE, room) if len(steps) < _DEEPEST else 0
        room -= shown
        parent.left_out = len(parent.value) - shown
        for (name, value), _ in zip(_items(parent.value), range(shown), strict=False):
            own = (*steps, name)
            child = Field(name, path_of(own), value)
            parent.fields.append(child)
            waiting.append((child, own))
    return root


def _items(value: Any) -> Iterable[tuple[Step, Any]]:
    return value.items() if isinstance(value, dict) else enumerate(value)


def path_of(steps: Sequence[Step]) -> str | None:
    """The JSONPath that selects exactly what these names and indexes lead to; None if none can be
    typed."""
    path = "$" + "".join(map(_plainly, steps))
    if plain_steps(path) != tuple(steps):
        if "*" in steps:  # which means every field where names are escaped
            return None
        path = "$" + "".join(map(_escaped, steps))
    return path if len(path) <= MAX_LENGTH and path.isprintable() else None


def _plainly(step: Step) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if plain_steps(f"$.{step}") == (step,):
        return f".{step}"
    return f'["{step}"]' if "'" in step else f"['{step}']"


def _escaped(step: Step) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    quoted = step.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{quoted}']"


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
    """A field that isn't the same in both. `added`: only the second has it. `removed`: only the
    first has it."""

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
    """Compares two JSON values. Elements of lists are compared by their places; 1 and 1.0 and "1"
    differ."""
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
            pairs += reversed(list(_pairs_inside(steps, _fields(one), _fields(other))))
        elif type(one) is not type(other) or one != other:
            found.append(_difference(steps, one, other))
    return Differences(tuple(found), True)


def _pairs_inside(
    steps: tuple[Step, ...], before: dict[Step, Any], after: dict[Step, Any]
) -> Iterator[_Pair]:
    for name in {**before, **after}:
        yield (*steps, name), before.get(name, _MISSING), after.get(name, _MISSING)


def _difference(steps: tuple[Step, ...], before: Any, after: Any) -> Difference:
    path = path_of(steps) if len(steps) <= _LONGEST_PATH else None
    if before is _MISSING:
        return Difference("added", path, steps, after=after)
    if after is _MISSING:
        return Difference("removed", path, steps, before=before)
    return Difference("changed", path, steps, before, after)


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
