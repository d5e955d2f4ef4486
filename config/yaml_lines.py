"""YAML as plain values, with the line of each place.

The document is walked as YAML nodes instead of being constructed. So every key has its line (even
one from a merge), duplicate keys are reported along with all other problems, and a date stays text.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Where = tuple[str | int, ...]
"""The keys and indexes that lead to a place."""

_TAG = "tag:yaml.org,2002:"
_TAGS = {_TAG + kind for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}
_STR, _TIMESTAMP, _MERGE = f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}merge"
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_NODES = 200_000
"""More places than any sensible file has: ends the expansion of aliases within aliases."""
_MAX_DEPTH = 100
_CHARACTERS = 100
"""Characters that count as a place more: aliases repeat long texts too."""


_PATH_IN_FLOW = re.compile(r"""[{\[,:]\s*\$[^\s,:'"{}\[\]]*\[""")
"""A text that begins with $ and isn't quoted, as far as its first bracket, which isn't part of it
inside {…} or […]."""
_NAMED = re.compile(r"""(?<=alias |nchor |andle )(['"]).*\1""")
"""A name that the parser repeats, which may be a secret."""
_REMEDY = (
    "fix the text at this line: indent with spaces, and put what has special characters in quotes"
)


class BadYaml(Exception):
    """The file is not YAML; `line` says where, `remedy` what to do."""

    def __init__(self, message: str, line: int = 1, remedy: str = _REMEDY):
        super().__init__(message)
        self.line = line
        self.remedy = remedy


@dataclass
class Located:
    """A document's plain value, and the line (from 1) of each place in it."""

    value: Any
    lines: dict[Where, int] = field(default_factory=dict)
    """The line of the key, or of the item in a list."""
    repeated: list[tuple[Where, int]] = field(default_factory=list)
    """Keys that a mapping has more than once, with the line of each repetition; the first one
    counts."""

    def line(self, where: Where) -> int:
        """The line of that place, or of the nearest enclosing one."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)


def read_yaml(path: Path) -> Located:
    """Reads one YAML 1.2 document; an empty file is the value None.

    Raises BadYaml for text that isn't YAML, OSError for a file that can't be read.
    """
    try:
        return parse_yaml(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadYaml("not UTF-8 text", line, "save the file as UTF-8") from None


def parse_yaml(text: str) -> Located:
    """Like `read_yaml`, for a text."""
    try:
        node = _compose(text)
    except MarkedYAMLError as error:
        raise _bad_yaml(error, text) from None
    except RecursionError:
        raise BadYaml("nested too deeply") from None
    except (YAMLError, ValueError) as error:
        position = getattr(error, "position", 0) or 0
        reason = " ".join(str(error).split("\n")[0].split())
        raise BadYaml(reason, text.count("\n", 0, position) + 1, "remove the character") from None
    return _Reading().read(node)


def _compose(text: str) -> Node | None:
    """The document's root, None if it is empty: by libyaml, which takes a tenth of the time; the
    parser in Python has the better words for what is wrong. Raises what ruamel.yaml raises, and
    RecursionError."""
    try:
        depth = 0
        # libyaml's composer would crash in a text nested without end.
        for event in YAML(typ="safe").parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise RecursionError
        node: Node | None = YAML(typ="safe").compose(text)
    except (YAMLError, ValueError):
        node = YAML(typ="safe", pure=True).compose(text)
    return node


def _bad_yaml(error: MarkedYAMLError, text: str) -> BadYaml:
    """The parser's error, at the line where what it was reading begins. No value is repeated: it
    may be a secret."""
    complaint = " ".join(f"{error.context or ''} {error.problem or ''}".split())
    # Blocks and documents are long; in them the fault is where the parser stopped.
    is_in_long = error.context_mark is None or "block" in complaint or "document" in complaint
    mark = error.problem_mark if is_in_long else error.context_mark
    line = mark.line + 1 if mark is not None else 1
    there = "".join(text.splitlines()[line - 1 : line])
    if "flow" in complaint or "alphabetic or numeric" in complaint:
        if "${" in there:
            remedy = 'put it in quotes, as in {X-Api-Key: "${NAME}"}'
            return BadYaml("a reference that isn't quoted inside {…} or […]", line, remedy)
        if _PATH_IN_FLOW.search(there):
            remedy = """put it in quotes, as in {"$.items[0].id": 7}"""
            return BadYaml("a JSONPath with [ that isn't quoted inside {…} or […]", line, remedy)
    return BadYaml(_NAMED.sub("…", complaint), line)


class _Reading:
    """One walk over a document's nodes."""

    def __init__(self) -> None:
        self.located = Located(None)
        self.nodes = 0

    @cached_property
    def _constructor(self) -> SafeConstructor:
        return SafeConstructor(loader=YAML(typ="safe", pure=True))

    def read(self, node: Node | None) -> Located:
        if node is not None:
            self.located.value = self.value(node, (), node.start_mark.line + 1)
        return self.located

    def count(self, number: int, line: int, depth: int) -> None:
        self.nodes += number
        if self.nodes > _MAX_NODES or depth > _MAX_DEPTH:
            raise BadYaml("aliases that repeat themselves without end", line, "write the text out")

    def value(self, node: Node, where: Where, line: int) -> Any:
        self.count(1, line, len(where))
        self.located.lines[where] = line
        if node.tag not in _TAGS:  # it isn't repeated: a secret may begin with an exclamation mark
            what = "a tag, as a value that begins with ! is one, and it means nothing here"
            raise BadYaml(
                what, node.start_mark.line + 1, "put the value in quotes, or remove the tag"
            )
        if isinstance(node, MappingNode):
            return {
                key: self.value(item, (*where, key), at)
                for key, item, at in self.entries(node, where)
            }
        if isinstance(node, SequenceNode):
            return [
                self.value(item, (*where, index), item.start_mark.line + 1)
                for index, item in enumerate(node.value)
            ]
        return self.scalar(node)

    def entries(
        self, node: MappingNode, where: Where, depth: int = 0
    ) -> list[tuple[Any, Node, int]]:
        """key, value and the key's line; a mapping's own keys win over merged ones."""
        # A merge may name one mapping many times.
        self.count(1 + len(node.value), node.start_mark.line + 1, depth)
        own: dict[Any, tuple[Any, Node, int]] = {}
        merged: list[Node] = []
        for key_node, item in node.value:
            at = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                merged.extend(item.value if isinstance(item, SequenceNode) else [item])
                continue
            if not isinstance(key_node, ScalarNode):
                raise BadYaml("a key that isn't text", at, "write KEY: VALUE")
            key = self.scalar(key_node)
            if key in own:
                self.located.repeated.append(((*where, key), at))
            else:
                own[key] = (key, item, at)
        for source in merged:
            if not isinstance(source, MappingNode):
                raise BadYaml(
                    "<< merges something that has no keys",
                    source.start_mark.line + 1,
                    "merge a mapping",
                )
            for entry in self.entries(source, where, depth + 1):
                own.setdefault(entry[0], entry)
        return list(own.values())

    def scalar(self, node: Node) -> Any:
        line = node.start_mark.line + 1
        self.count(len(node.value) // _CHARACTERS, line, 0)
        if node.tag in (_STR, _TIMESTAMP):
            return _joined(str(node.value), line)
        try:
            value = self._constructor.construct_object(node)
            if isinstance(value, int):
                str(value)  # hexadecimal digits are read however many they are
        # A number of thousands of digits, or a tag that doesn't fit.
        except (YAMLError, ValueError, LookupError):
            kind = str(node.tag).removeprefix(_TAG) if node.tag in _TAGS else "what its tag says"
            raise BadYaml(
                f"a value that can't be read as {kind}", line, "put it in quotes, without a tag"
            ) from None
        if isinstance(value, float) and not math.isfinite(value):
            # JSON has no such number; as text it is at least what was written.
            return str(node.value)
        return str(value) if isinstance(value, str) else value


def _joined(text: str, line: int) -> str:
    """The text with each character that was escaped as two, as JSON does (``\\ud83d\\ude00``), made one."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise BadYaml(
            "half of a character: an escape from \\ud800 to \\udfff without its other half",
            line,
            "write the character itself, or both halves",
        ) from None
