"""YAML as plain values, with the line of each value beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarfloat import ScalarFloat
from ruamel.yaml.scalarint import ScalarInt

Where = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""


class BadYaml(Exception):
    """The file is not YAML; `line` says where."""

    def __init__(self, message: str, line: int):
        super().__init__(message)
        self.line = line


@dataclass
class Located:
    """A document's plain value, and the line (from 1) of each place in it."""

    value: Any
    lines: dict[Where, int] = field(default_factory=dict)

    def line(self, where: Where) -> int:
        """The line of that place, or of the nearest place around it."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)


def read_yaml(path: Path) -> Located:
    """Reads one YAML 1.2 document.

    Raises BadYaml for text that isn't YAML or has a key twice, OSError for a file that can't be read.
    """
    reader = YAML(typ="rt", pure=True)
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadYaml("not UTF-8 text", 1) from error
    try:
        document = reader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join((error.problem or error.context or "not YAML").split())
        raise BadYaml(reason, mark.line + 1 if mark else 1) from None
    except (YAMLError, ValueError) as error:
        raise BadYaml(" ".join(str(error).split()), 1) from None
    located = Located(None)
    located.value = _plain(document, (), located.lines, 1)
    return located


def _plain(node: Any, where: Where, lines: dict[Where, int], line: int) -> Any:
    """The node without ruamel's wrappers; notes the line of every place below it."""
    lines[where] = line
    if isinstance(node, CommentedMap):
        return {
            key: _plain(node[key], (*where, key), lines, _line_of(node, key, line)) for key in node
        }
    if isinstance(node, CommentedSeq):
        return [
            _plain(item, (*where, index), lines, _line_of(node, index, line)) for index, item in enumerate(node)
        ]
    if isinstance(node, ScalarFloat):
        return float(node)
    if isinstance(node, ScalarInt):
        return int(node)
    return str(node) if isinstance(node, str) else node


def _line_of(node: CommentedMap | CommentedSeq, key: Any, default: int) -> int:
    try:
        position = node.lc.key(key) if isinstance(node, CommentedMap) else node.lc.item(key)
    except (KeyError, AttributeError, TypeError):  # merged keys have no place of their own
        return default
    return int(position[0]) + 1
