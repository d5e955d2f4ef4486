"""Evaluates paths parsed by jsonpath-ng in at most `MAX_STEPS` steps, whatever the path and the document.

jsonpath-ng's own evaluator runs Python's `re` for ``=~`` and multiplies nodes and texts without end. This one gives
paths the same meaning, with these differences: patterns are RE2's, ``*`` multiplies numbers only, and ``sub`` is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cmp_to_key
from typing import Any

import jsonpath_ng.jsonpath

from criteria.nodes import COMPARISONS, EQUALITY, SYMBOLS, Find, Node, Steps, compute, equal, holds
from criteria.patterns import BadPattern, Pattern

_MAX_NESTING = 40
"""Levels of filters, parentheses and ``..`` in a path."""
_PATTERN_MEMORY = 1 << 20
_HAS_WILDCARD = hasattr(jsonpath_ng.jsonpath, "Wildcard")
"""Older versions write ``*`` as a field of that name."""


class Unsupported(ValueError):
    """The path uses something that isn't supported; the message says what."""


def compile_expression(expression: Any) -> Find:
    """The parsed path as a function. Raises Unsupported."""
    return _compile(expression, 0)


def _compile(part: Any, depth: int) -> Find:
    if depth > _MAX_NESTING:
        raise Unsupported("it is nested too deeply")
    kind = type(part).__name__.lstrip("_")
    if kind == "Child":
        return _chain(part, depth)
    make = _PARTS.get(kind)
    if make is None:
        raise Unsupported(_REFUSED.get(kind, f"{kind} is not supported"))
    return make(part, depth + 1)


def _chain(part: Any, depth: int) -> Find:
    """A path's segments one after the other: however many, they nest no deeper."""
    rights: list[Find] = []
    while type(part).__name__ == "Child":
        rights.append(_compile(part.right, depth + 1))
        part = part.left
    first, segments = _compile(part, depth + 1), rights[::-1]

    def find(node: Node, steps: Steps) -> list[Node]:
        nodes = first(node, steps)
        for segment in segments:
            nodes = [found for one in nodes for found in segment(one, steps)]
        return nodes

    return find


# --- segments -----------------------------------------------------------------------------------------------


def _root(_part: Any, _depth: int) -> Find:
    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take()
        return [node.root]

    return find


def _this(_part: Any, _depth: int) -> Find:
    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take()
        return [node]

    return find


def _parent(_part: Any, _depth: int) -> Find:
    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take()
        return [node.parent] if node.parent is not None else []

    return find


def _fields(part: Any, depth: int) -> Find:
    names = tuple(part.fields)
    if "*" in names and not _HAS_WILDCARD:
        return _wildcard(part, depth)

    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take(len(names))
        value = node.value
        return [Node(value[name], node, name) for name in names if name in value] if isinstance(value, dict) else []

    return find


def _children(node: Node, steps: Steps) -> list[Node]:
    value = node.value
    if isinstance(value, dict):
        steps.take(len(value))
        return [Node(item, node, key) for key, item in value.items()]
    if isinstance(value, list):
        steps.take(len(value))
        return [Node(item, node, index) for index, item in enumerate(value)]
    return []


def _wildcard(_part: Any, _depth: int) -> Find:
    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take()
        return _children(node, steps)

    return find


def _index(part: Any, _depth: int) -> Find:
    indices = tuple(getattr(part, "indices", None) or (part.index,))

    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take(len(indices))
        value = node.value
        if not isinstance(value, list):
            return []
        return [Node(value[index], node, index) for index in indices if -len(value) <= index < len(value)]

    return find


def _slice(part: Any, _depth: int) -> Find:
    wanted = slice(part.start, part.end, part.step)

    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take()
        value = node.value
        if not isinstance(value, list) or wanted.step == 0:
            return []
        places = range(len(value))[wanted]
        steps.take(len(places))
        return [Node(value[index], node, index) for index in places]

    return find


def _descendants(part: Any, depth: int) -> Find:
    left, right = _compile(part.left, depth), _compile(part.right, depth)

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


def _where(part: Any, depth: int) -> Find:
    left, right = _compile(part.left, depth), _compile(part.right, depth)
    wanted = type(part).__name__ == "Where"
    return lambda node, steps: [one for one in left(node, steps) if bool(right(one, steps)) is wanted]


def _union(part: Any, depth: int) -> Find:
    left, right = _compile(part.left, depth), _compile(part.right, depth)
    return lambda node, steps: left(node, steps) + right(node, steps)


# --- filters ------------------------------------------------------------------------------------------------


def _filter(part: Any, depth: int) -> Find:
    conditions = [_compile(expression, depth) for expression in part.expressions]

    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take()
        return [one for one in _children(node, steps) if all(condition(one, steps) for condition in conditions)]

    return find


def _and(part: Any, depth: int) -> Find:
    operands = [_compile(one, depth) for one in part.operands]
    return lambda node, steps: [node] if all(operand(node, steps) for operand in operands) else []


def _or(part: Any, depth: int) -> Find:
    operands = [_compile(one, depth) for one in part.operands]
    return lambda node, steps: [node] if any(operand(node, steps) for operand in operands) else []


def _expression(part: Any, depth: int) -> Find:
    target, name, operand = _compile(part.target, depth), part.op, part.value
    if name is None:
        return target
    if name == "!":
        return lambda node, steps: [] if target(node, steps) else [node]
    if name == "=~":
        return _searching(target, operand)
    if name not in COMPARISONS:
        raise Unsupported(f"the comparison {name} is not supported")
    if isinstance(operand, jsonpath_ng.jsonpath.JSONPath):
        return _comparing_paths(target, name, _compile(operand, depth))

    def find(node: Node, steps: Steps) -> list[Node]:
        found = target(node, steps)
        if not found:  # nothing equals "no value"
            return [node] if name == "!=" else []
        return [one for one in found if holds(name, one.value, operand, steps)]

    return find


def _searching(target: Find, text: Any) -> Find:
    try:
        if not isinstance(text, str):
            raise BadPattern("a pattern that is not text")
        pattern = Pattern(text, _PATTERN_MEMORY)
    except BadPattern as error:
        raise Unsupported(f"{error} (patterns are RE2's, without look-around and references to groups)") from None

    def find(node: Node, steps: Steps) -> list[Node]:
        found = []
        for one in target(node, steps):
            steps.take_text(one.value, pattern.size)
            if pattern.found_in(one.value):
                found.append(one)
        return found

    return find


def _comparing_paths(target: Find, name: str, other: Find) -> Find:
    def find(node: Node, steps: Steps) -> list[Node]:
        found, others = target(node, steps), other(node, steps)
        if not found or not others:  # "no value" equals only "no value"
            return (found or [node]) if EQUALITY[name](not found and not others) else []
        return [one for one in found if any(holds(name, one.value, right.value, steps) for right in others)]

    return find


# --- computed values ----------------------------------------------------------------------------------------


def _operation(part: Any, depth: int) -> Find:
    symbol = part.op_symbol if hasattr(part, "op_symbol") else SYMBOLS[part.op]
    left, right = (
        _compile(side, depth) if isinstance(side, jsonpath_ng.jsonpath.JSONPath) else side
        for side in (part.left, part.right)
    )

    def find(node: Node, steps: Steps) -> list[Node]:
        lefts, rights = ([one.value for one in side(node, steps)] if callable(side) else None for side in (left, right))
        if lefts is not None and rights is not None:
            if len(lefts) != len(rights):
                return []
            pairs: Iterable[tuple[Any, Any]] = zip(lefts, rights, strict=True)
        elif lefts is not None:
            pairs = [(value, right) for value in lefts]
        else:
            pairs = [(left, value) for value in (rights if rights is not None else [right])]
        try:
            return [Node(compute(symbol, one, other, steps)) for one, other in pairs]
        except TypeError:
            return []

    return find


def _sorted(part: Any, depth: int) -> Find:
    keys = [(_compile(field, depth), -1 if reverse else 1) for field, reverse in part.expressions or ()]

    def find(node: Node, steps: Steps) -> list[Node]:
        value = node.value
        if isinstance(value, dict):
            if keys:
                return [node]
            steps.take(len(value))
            return [Node(sorted(value))]
        if not isinstance(value, list):
            raise TypeError("only lists have an order")
        steps.take_for(value)

        def compare(left: Any, right: Any) -> int:
            steps.take()
            for find_key, direction in keys:
                lefts, rights = find_key(Node(left), steps), find_key(Node(right), steps)
                if len(lefts) != 1 or len(rights) != 1 or equal(lefts[0].value, rights[0].value, steps):
                    continue
                return -direction if lefts[0].value < rights[0].value else direction
            return 0

        return [Node(sorted(value, key=cmp_to_key(compare)) if keys else sorted(value))]

    return find


def _len(_part: Any, _depth: int) -> Find:
    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take()
        return [Node(len(node.value))] if isinstance(node.value, (str, list, dict)) else []

    return find


def _keys(_part: Any, _depth: int) -> Find:
    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take(1 + len(node.value) if isinstance(node.value, dict) else 1)
        return [Node(key) for key in node.value] if isinstance(node.value, dict) else []

    return find


def _path(_part: Any, _depth: int) -> Find:
    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take()
        return [Node(_segment(node))]

    return find


_PLAIN_NAME = re.compile(r"@?[A-Za-z_][A-Za-z0-9_@-]*")


def _segment(node: Node) -> str:
    if node.key is None:
        return "$"
    if isinstance(node.key, int):
        return f"[{node.key}]"
    return node.key if _PLAIN_NAME.fullmatch(node.key) else repr(node.key)


def _str(_part: Any, _depth: int) -> Find:
    def find(node: Node, steps: Steps) -> list[Node]:
        steps.take_for(node.value)
        return [Node(str(node.value))]

    return find


def _split(part: Any, _depth: int) -> Find:
    segment = None if part.segment == "*" else int(part.segment)

    def find(node: Node, steps: Steps) -> list[Node]:
        if not isinstance(node.value, str):
            return []
        steps.take(1 + len(node.value) // 8)
        pieces = node.value.split(part.chars, part.max_split)
        if segment is None:
            return [Node(pieces)]
        return [Node(pieces[segment])] if -len(pieces) <= segment < len(pieces) else []

    return find


_PARTS: dict[str, Callable[[Any, int], Find]] = {
    "Root": _root,
    "This": _this,
    "Parent": _parent,
    "Fields": _fields,
    "Wildcard": _wildcard,
    "Index": _index,
    "Slice": _slice,
    "Descendants": _descendants,
    "Where": _where,
    "WhereNot": _where,
    "Union": _union,
    "Filter": _filter,
    "And": _and,
    "Or": _or,
    "Expression": _expression,
    "Operation": _operation,
    "SortedThis": _sorted,
    "Len": _len,
    "Keys": _keys,
    "Path": _path,
    "Str": _str,
    "Split": _split,
}
"""By the names of jsonpath-ng's classes, which have changed less between versions than their locations."""
_REFUSED = {
    "Sub": "`sub` is not supported; filter with =~, or compute the value in the workflow",
    "Intersect": "& between paths is not supported",
}
