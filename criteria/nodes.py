"""The basics of evaluating a JSONPath: nodes, the budget of steps, and arithmetic."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

MAX_STEPS = 200_000
"""Nodes that one evaluation may visit: a few tenths of a second. ``$..x`` visits every node of the document."""
_CHARACTERS = 64
"""Characters that cost one step when texts are compared, searched or created."""
_SEARCHED = 500
"""Characters times pattern instructions that cost one step: RE2 is linear, but still slow at its worst."""
_MAX_BITS = 4096
"""Bits in a product of integers."""


class TooCostly(Exception):
    """The evaluation took more than `MAX_STEPS` steps."""


class Node:
    """A value and its place in the document; a computed value has no parent."""

    __slots__ = ("key", "parent", "value")

    def __init__(self, value: Any, parent: Node | None = None, key: str | int | None = None):
        self.value = value
        self.parent = parent
        self.key = key

    @property
    def root(self) -> Node:
        node = self
        while node.parent is not None:
            node = node.parent
        return node


class Steps:
    """The steps that one evaluation has left."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_STEPS

    def take(self, number: int = 1) -> None:
        """Raises TooCostly."""
        self.left -= number
        if self.left < 0:
            raise TooCostly

    def take_text(self, value: Any, pattern: int = 0) -> None:
        """Spends one step, or more for a long text; `pattern` is the size of a pattern being searched for. Raises
        TooCostly."""
        length = len(value) if isinstance(value, str) else 0
        self.take(1 + length // _CHARACTERS + length * pattern // _SEARCHED)

    def take_for(self, value: Any) -> None:
        """Spends steps for the value's nodes and the length of its texts. Raises TooCostly."""
        stack = [value]
        while stack:
            value = stack.pop()
            self.take_text(value)
            if isinstance(value, dict):
                stack.extend(value.values())
            elif isinstance(value, list):
                stack.extend(value)


Find = Callable[[Node, Steps], list[Node]]
"""The nodes that a part of a path finds from a node. Raises TooCostly, or TypeError and the like for values that the
part can't handle: the path then selects nothing."""


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
EQUALITY: dict[str, Callable[[bool], bool]] = {
    "!=": operator.not_,
    "==": bool,
    "=": bool,
    "<=": bool,
    ">=": bool,
    "<": lambda equal: False,
    ">": lambda equal: False,
}
"""Values without an order (RFC 9535, 2.3.5.2.2) are only compared for equality."""


def holds(name: str, left: Any, right: Any, steps: Steps) -> bool:
    if (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        steps.take_text(left)
        return COMPARISONS[name](left, right)
    return EQUALITY[name](equal(left, right, steps))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equal(left: Any, right: Any, steps: Steps) -> bool:
    pairs = [(left, right)]
    while pairs:
        left, right = pairs.pop()
        steps.take_text(left)
        if isinstance(left, bool) or isinstance(right, bool):
            if left is not right:
                return False
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            steps.take(len(left))
            pairs.extend(zip(left, right, strict=True))
        elif isinstance(left, dict) and isinstance(right, dict):
            steps.take(len(left))
            if left.keys() != right.keys():
                return False
            pairs.extend((value, right[key]) for key, value in left.items())
        elif isinstance(left, (list, dict)) or isinstance(right, (list, dict)) or left != right:
            return False
    return True


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
SYMBOLS = {function: symbol for symbol, function in _ARITHMETIC.items()}


def compute(symbol: str, left: Any, right: Any, steps: Steps) -> Any:
    """Arithmetic on numbers; joins texts and lists. Raises TypeError for anything else, and TooCostly."""
    steps.take()
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > _MAX_BITS:
            raise TooCostly
        return _ARITHMETIC[symbol](left, right)
    if symbol == "+" and isinstance(left, str) and isinstance(right, str):
        steps.take((len(left) + len(right)) // _CHARACTERS)
        return left + right
    if symbol == "+" and isinstance(left, list) and isinstance(right, list):
        steps.take(len(left) + len(right))
        return left + right
    raise TypeError
