"""Evaluates paths parsed by jsonpath-ng in at most `MAX_STEPS` steps, whatever the path and the
document.

jsonpath-ng's own evaluator multiplies nodes without end: ``$..*..*..*`` can keep it busy for hours.
This one gives members, indexes, slices, ``*``, ``..`` and filters with comparisons the same
meaning, but that patterns are RE2's, and refuses everything else.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from jsonpath_ng.jsonpath import JSONPath

from criteria.patterns import BadPattern, pattern_of

MAX_STEPS = 200_000
"""Nodes that one evaluation may visit: a few tenths of a second. ``$..x`` visits every node of the
document."""
_CHARACTERS = 64
"""Characters that cost one step when texts are compared; for a pattern of n instructions, n times
as many."""
_MAX_NESTING = 40
"""Levels of filters and ``..`` in a path."""


class Unsupported(ValueError):
    """The path uses something that isn't supported; the message says what, and what to do instead."""


class TooCostly(Exception):
    """It takes more steps than it may."""


class Node:
    """A value and its place in the document; the document itself has no parent."""

    __slots__ = ("key", "parent", "value")

    def __init__(self, value: Any, parent: Node | None = None, key: str | int = 0):
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
    """The steps taken by one evaluation, or by several that share a bound."""

    __slots__ = ("most", "taken")

    def __init__(self, most: float | None = None):
        """`most`: those that may be taken; by default `MAX_STEPS`."""
        self.most = MAX_STEPS if most is None else most
        self.taken = 0

    @property
    def are_spent(self) -> bool:
        """Whether as many are taken as may be, or more."""
        return self.taken >= self.most

    def take(self, number: int = 1) -> None:
        """Raises TooCostly."""
        self.taken += number
        if self.taken > self.most:
            raise TooCostly


Find = Callable[[Node, Steps], list[Node]]
"""The nodes that a part of a path finds from a node. Raises TooCostly."""


def compile_expression(expression: Any, depth: int = 0) -> Find:
    """The parsed path as a function. Raises Unsupported."""
    if depth > _MAX_NESTING:
        raise Unsupported("it is nested too deeply")
    kind = type(expression).__name__
    if kind in _SEGMENTS:
        return partial(_SEGMENTS[kind], expression)
    make = _PARTS.get(kind)
    if make is None:
        raise Unsupported(
            f"{_REFUSED.get(kind, f'`{kind.lower()}`')} isn't supported, only members, indexes,"
            " slices, *, .. and filters with comparisons; compute other values in the workflow"
        )
    return make(expression, depth + 1)


# --- segments: each finds its nodes from one node


def _root(_part: Any, node: Node, steps: Steps) -> list[Node]:
    steps.take()
    return [node.root]


def _this(_part: Any, node: Node, steps: Steps) -> list[Node]:
    steps.take()
    return [node]


def _fields(part: Any, node: Node, steps: Steps) -> list[Node]:
    names = part.fields
    if names == ("*",) and sys.version_info < (3, 11):  # whose jsonpath-ng, 1.8, has no wildcard
        return _wildcard(part, node, steps)
    steps.take(len(names))
    value = node.value
    if isinstance(value, dict):
        return [Node(value[name], node, name) for name in names if name in value]
    return []


def _wildcard(_part: Any, node: Node, steps: Steps) -> list[Node]:
    steps.take()
    return _children(node, steps)


def _children(node: Node, steps: Steps) -> list[Node]:
    value = node.value
    if not isinstance(value, (dict, list)):
        return []
    steps.take(len(value))
    return [
        Node(item, node, key)
        for key, item in (value.items() if isinstance(value, dict) else enumerate(value))
    ]


def _index(part: Any, node: Node, steps: Steps) -> list[Node]:
    indices = part.indices
    steps.take(len(indices))
    value = node.value
    if not isinstance(value, list):
        return []
    return [
        Node(value[index], node, index) for index in indices if -len(value) <= index < len(value)
    ]


def _slice(part: Any, node: Node, steps: Steps) -> list[Node]:
    steps.take()
    value = node.value
    if not isinstance(value, list) or part.step == 0:
        return []
    places = range(len(value))[part.start : part.end : part.step]
    steps.take(len(places))
    return [Node(value[index], node, index) for index in places]


_SEGMENTS: dict[str, Callable[[Any, Node, Steps], list[Node]]] = {
    "Root": _root,
    "This": _this,
    "Fields": _fields,
    "Wildcard": _wildcard,
    "Index": _index,
    "Slice": _slice,
}
"""By the names of jsonpath-ng's classes, which have changed less between versions than their
locations."""


# --- what consists of other parts


def _chain(part: Any, depth: int) -> Find:
    """A path's segments one after the other: however many, they nest no deeper."""
    rights: list[Find] = []
    while type(part).__name__ == "Child":
        rights.append(compile_expression(part.right, depth))
        part = part.left
    first, segments = compile_expression(part, depth), rights[::-1]

    def find(node: Node, steps: Steps) -> list[Node]:
        nodes = first(node, steps)
        for segment in segments:
            nodes = [found for one in nodes for found in segment(one, steps)]
        return nodes

    return find


def _descendants(part: Any, depth: int) -> Find:
    left, right = compile_expression(part.left, depth), compile_expression(part.right, depth)

    def find(node: Node, steps: Steps) -> list[Node]:
        found: list[Node] = []
        stack = left(node, steps)[::-1]
        while stack:
            one = stack.pop()
            steps.take()
            found.extend(right(one, steps))
            stack.extend(reversed(_children(one, steps)))
        return found

    return find


# --- filters


def _filter(part: Any, depth: int) -> Find:
    conditions = [compile_expression(expression, depth) for expression in part.expressions]

    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take()
        return [
            one
            for one in _children(node, steps)
            if all(condition(one, steps) for condition in conditions)
        ]

    return find


def _combined(by: Callable[[Iterable[object]], bool], part: Any, depth: int) -> Find:
    """`by`: `all` or `any`."""
    operands = [compile_expression(one, depth) for one in part.operands]
    return lambda node, steps: [node] if by(operand(node, steps) for operand in operands) else []


def _expression(part: Any, depth: int) -> Find:
    target, name, operand = compile_expression(part.target, depth), part.op, part.value
    if name is None:
        return target
    if name == "!":
        return lambda node, steps: [] if target(node, steps) else [node]
    if name == "=~":
        return _searching(target, operand)
    if name not in _COMPARISONS:
        raise Unsupported(f"the comparison {name} isn't supported, only {', '.join(_COMPARISONS)}")
    if isinstance(operand, JSONPath):
        return _comparing_paths(target, name, compile_expression(operand, depth))

    def find(node: Node, steps: Steps) -> list[Node]:
        found = target(node, steps)
        if not found:  # nothing equals "no value"
            return [node] if name == "!=" else []
        return [one for one in found if _holds(name, one.value, operand, steps)]

    return find


def _searching(target: Find, text: Any) -> Find:
    if not isinstance(text, str):
        raise Unsupported('a pattern that is not text; write it in quotes, as in =~ "^ab"')
    try:
        pattern = pattern_of(text)
    except BadPattern as error:
        raise Unsupported(
            f"{error}; patterns are RE2's, without look-around and references to groups"
        ) from None

    def find(node: Node, steps: Steps) -> list[Node]:
        found = [one for one in target(node, steps) if isinstance(one.value, str)]
        for one in found:
            steps.take(1 + len(one.value) * pattern.size // _CHARACTERS)
        return [one for one in found if pattern.is_in(one.value)]

    return find


def _comparing_paths(target: Find, name: str, other: Find) -> Find:
    def find(node: Node, steps: Steps) -> list[Node]:
        found, others = target(node, steps), other(node, steps)
        if not found or not others:  # "no value" equals only "no value"
            if not _by_equality(name, not found and not others):
                return []
            return found or [node]
        return [
            one
            for one in found
            if any(_holds(name, one.value, right.value, steps) for right in others)
        ]

    return find


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _holds(name: str, left: Any, right: Any, steps: Steps) -> bool:
    if (_is_number(left) and _is_number(right)) or (
        isinstance(left, str) and isinstance(right, str)
    ):
        _take_for(left, steps)
        return _COMPARISONS[name](left, right)
    return _by_equality(name, _equal(left, right, steps))


def _by_equality(name: str, equal: bool) -> bool:
    """Values without an order (RFC 9535, 2.3.5.2.2) are only compared for equality."""
    if name == "!=":
        return not equal
    return equal and "=" in name


def _take_for(value: Any, steps: Steps) -> None:
    """Takes what it costs to compare this value."""
    cost = 1
    if isinstance(value, str):
        cost += len(value) // _CHARACTERS
    steps.take(cost)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _equal(left: Any, right: Any, steps: Steps) -> bool:
    pairs = [(left, right)]
    while pairs:
        left, right = pairs.pop()
        _take_for(left, steps)
        if isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            steps.take(len(left))
            pairs.extend(zip(left, right, strict=True))
        elif isinstance(left, dict) and isinstance(right, dict):
            if left.keys() != right.keys():
                return False
            steps.take(len(left))
            pairs.extend((value, right[key]) for key, value in left.items())
        elif isinstance(left, bool) != isinstance(right, bool) or left != right:
            return False
    return True


_PARTS: dict[str, Callable[[Any, int], Find]] = {
    "Child": _chain,
    "Descendants": _descendants,
    "Filter": _filter,
    "And": partial(_combined, all),
    "Or": partial(_combined, any),
    "Expression": _expression,
}
"""Likewise."""
_REFUSED = {"Operation": "arithmetic", "SortedThis": "sorting"}
"""What the user wrote, where the class's name doesn't say it; the others are functions such as
`len` and `split`."""
