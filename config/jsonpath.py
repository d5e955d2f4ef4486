"""JSONPaths as users write them in `matches`, `when` and `dedup`: parsed once, then cheap to select with.

Plain member and index paths (``$.event.type``, ``$['a b'][0]``) are walked here, everything else is jsonpath-ng's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse

_STEP = re.compile(
    r"""\.(?P<name>[^\W\d][\w-]*)           # .member
      | \[\s*'(?P<single>[^'\\]*)'\s*\]     # ['member']
      | \[\s*"(?P<double>[^"\\]*)"\s*\]     # ["member"]
      | \[\s*(?P<index>-?\d{1,9})\s*\]      # [index]
    """,
    re.VERBOSE,
)

Select = Callable[[Any], list[Any]]
"""The values that a path selects in a JSON value, in document order; none where it selects nothing."""


class BadPath(ValueError):
    """The text is not a JSONPath."""


@lru_cache(maxsize=4096)
def compile_path(path: str) -> Select:
    """The function that selects with this path.

    Raises BadPath with the parser's reason if the text isn't a JSONPath.
    """
    if not isinstance(path, str) or not path.strip():
        raise BadPath("an empty JSONPath")
    steps = plain_steps(path.strip())
    if steps is not None:
        return _walker(steps)
    try:
        expression = parse(path)
    except JSONPathError as error:
        raise BadPath(f"{path!r} is not a JSONPath: {error}") from None
    except Exception as error:  # the parser lets a few of its own internal errors out
        raise BadPath(f"{path!r} is not a JSONPath: {type(error).__name__}: {error}") from None

    def select(document: Any) -> list[Any]:
        try:
            return [node.value for node in expression.find(document)]
        except Exception:  # a filter that compares what can't be compared selects nothing
            return []

    return select


def blank(document: Any, path: str, value: Any) -> Any:
    """The document, changed in place, with everything that the path selects replaced. Raises BadPath."""
    steps = plain_steps(path.strip())
    if steps is None:
        compile_path(path)
        for node in parse(path).find(document):
            document = node.full_path.update(document, value)
        return document
    if not steps:
        return value
    for parent in _walker(steps[:-1])(document):
        if _walker(steps[-1:])(parent):
            parent[steps[-1]] = value
    return document


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
            steps.append(next(name for name in step.group("name", "single", "double") if name is not None))
    return tuple(steps)


def _walker(steps: tuple[str | int, ...]) -> Select:
    def select(document: Any) -> list[Any]:
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
