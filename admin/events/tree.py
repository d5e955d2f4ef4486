"""A payload as a tree of fields, each with the JSONPath that selects it: as much of it as a person can look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from criteria.jsonpath import MAX_LENGTH, plain_steps

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
    """Those of its own that are shown."""
    left_out: int = 0
    """How many of its own are not shown."""

    @property
    def has_fields(self) -> bool:
        """Whether it is an object or a list."""
        return isinstance(self.value, (dict, list))

    @property
    def size(self) -> str:
        """``3 fields``, ``1 element``."""
        one = "field" if isinstance(self.value, dict) else "element"
        return f"{len(self.value)} {one}{'' if len(self.value) == 1 else 's'}"


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
    """The JSONPath that selects exactly what these names and indexes lead to; None if none can be typed."""
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
