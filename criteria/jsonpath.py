"""JSONPaths as users write them in `matches`, `when` and `dedup`: parsed once, then cheap to select
with.

Plain member and index paths (``$.event.type``, ``$['a b'][0]``) are walked here. Everything else is
parsed by jsonpath-ng and evaluated by `criteria.evaluator`, within a bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Protocol

from jsonpath_ng.ext.parser import parse

from criteria.evaluator import Find, Node, Steps, TooCostly, Unsupported, compile_expression

MAX_LENGTH = 1000
"""Characters of a path."""
_STEP = re.compile(
    r"""\.(?P<name>[^\W\d][\w-]*)           # .member
      | \[\s*'(?P<single>[^'\\]*)'\s*\]     # ['member']
      | \[\s*"(?P<double>[^"\\]*)"\s*\]     # ["member"]
      | \[\s*(?P<index>-?\d{1,9})\s*\]      # [index]
    """,
    re.VERBOSE,
)


class Select(Protocol):
    """A path as a function of a JSON value."""

    def __call__(self, document: Any, shared: Steps | None = None, /) -> list[Any]:
        """The values that the path selects, in document order; none where it selects nothing, or
        would take more than `MAX_STEPS` steps. Those that it took are added to the `shared` ones.
        """


class BadPath(ValueError):
    """The text is not a JSONPath."""


@lru_cache(maxsize=1024)
def compile_path(path: str) -> Select:
    """Raises BadPath with the reason if the text isn't a JSONPath that can be evaluated."""
    steps = _plain(path)
    if steps is not None:
        return _walker(steps)
    find = _find(path)

    def select(document: Any, shared: Steps | None = None, /) -> list[Any]:
        steps = Steps()
        try:
            return [node.value for node in find(Node(document), steps)]
        except TooCostly:
            return []
        finally:
            if shared is not None:
                shared.taken += steps.taken

    return select


Place = tuple[str | int, ...]
"""The members and indexes that lead to a value."""


def places(document: Any, path: str) -> list[tuple[Place, Any]]:
    """The place of each value that the path selects, and the value.

    Raises BadPath, or TooCostly where the path would take more than `MAX_STEPS` steps.
    """
    return list({_place(node): node.value for node in _find(path)(Node(document), Steps())}.items())


def _place(node: Node) -> Place:
    """The node's place, with indexes from the end counted from the start."""
    keys: list[str | int] = []
    while node.parent is not None:
        key, node = node.key, node.parent
        keys.append(key + len(node.value) if isinstance(key, int) and key < 0 else key)
    return tuple(keys[::-1])


def put(document: Any, changes: Iterable[tuple[Place, Any]]) -> Any:
    """A document with these values at their places; what isn't on the way to one is shared with the
    old one."""
    holder = [document]
    own: set[int] = {id(holder)}
    for place, value in changes:
        inner: Any = holder
        for key, after in zip((0, *place), (*place, None), strict=True):
            if after is None:
                inner[key] = value
            elif id(inner[key]) not in own:
                inner[key] = inner[key].copy()
                own.add(id(inner[key]))
            inner = inner[key]
    return holder[0]


@lru_cache(maxsize=1024)
def selects_one(path: str) -> bool:
    """Whether the path can select one value at most, whatever the document. Raises BadPath."""
    return _plain(path) is not None or _is_definite(_expression(path))


def _is_definite(expression: Any) -> bool:
    match type(expression).__name__:
        case "Child":
            return _is_definite(expression.left) and _is_definite(expression.right)
        case "Fields":
            return len(expression.fields) == 1
        case "Index":
            return len(expression.indices) == 1
        case kind:
            return kind in ("Root", "This")


def blank(document: Any, path: str, value: Any) -> Any:
    """The document, changed in place, with everything that the path selects replaced.

    A text on the way to a member or element is replaced too: it may be that part of the document,
    encoded. If the path takes too long, replaces the whole document. Raises BadPath.
    """
    try:
        nodes = _find(path)(Node(document), Steps())
        for find in _ways(path):
            nodes += [node for node in find(Node(document), Steps()) if isinstance(node.value, str)]
    except TooCostly:
        return value
    for node in nodes:
        if node.parent is None:
            return value
        node.parent.value[node.key] = value
    return document


@lru_cache(maxsize=1024)
def _ways(path: str) -> tuple[Find, ...]:
    """The beginnings of the path, up to each segment that names members or elements. Raises
    BadPath."""
    ways = []
    expression = _expression(path)
    while type(expression).__name__ == "Child":
        expression = expression.left
        last = expression.right if type(expression).__name__ == "Child" else expression
        if type(last).__name__ not in ("Wildcard", "Descendants"):
            ways.append(compile_expression(expression))
    return tuple(ways)


def _plain(path: str) -> tuple[str | int, ...] | None:
    """Like `plain_steps`. Raises BadPath if the text isn't a path."""
    if not isinstance(path, str) or not path.strip():
        raise BadPath("an empty JSONPath")
    if len(path) > MAX_LENGTH:
        raise BadPath(f"a JSONPath of more than {MAX_LENGTH} characters, {path[:40]!r}…")
    return plain_steps(path.strip())


@lru_cache(maxsize=1024)
def _find(path: str) -> Find:
    """For paths in definitions, of which each delivery needs some. Raises BadPath."""
    _plain(path)
    try:
        return compile_expression(_expression(path))
    except Unsupported as error:
        raise BadPath(f"{path!r} can't be evaluated: {error}") from None


def _expression(path: str) -> Any:
    try:
        return parse(path)
    except Exception as error:  # the parser leaks a few of its internal errors
        remedy = '; write the pattern in quotes, as in =~ "^ab"' if re.search("=~ */", path) else ""
        raise BadPath(f"{path!r} is not a JSONPath: {error}{remedy}") from None


def plain_steps(path: str) -> tuple[str | int, ...] | None:
    """The members and indexes of a plain path, or None if the path needs the evaluator."""
    if not path.startswith("$"):
        return None
    position, steps = 1, list[str | int]()
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            return None
        position = step.end()
        index = step["index"]
        if index is not None:
            steps.append(int(index))
        else:
            steps.append(
                next(name for name in step.group("name", "single", "double") if name is not None)
            )
    return tuple(steps)


def _walker(steps: tuple[str | int, ...]) -> Select:
    def select(document: Any, _shared: Steps | None = None, /) -> list[Any]:
        value = document
        for step in steps:
            if isinstance(step, str):
                if not isinstance(value, dict) or step not in value:
                    return []
            elif not isinstance(value, list) or not -len(value) <= step < len(value):
                return []
            value = value[step]
        return [value]

    return select
